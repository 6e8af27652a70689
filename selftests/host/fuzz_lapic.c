// SPDX-License-Identifier: GPL-2.0
/* sources: module/lapic.c module/lapic_route.c */
/*
 * The LAPIC under a fuzzer: half of the inputs drive it beside the naive model,
 * the others hand it a state image of any bytes and then any accesses, of which
 * only sanity is asked: nothing undefined, no vector below 16, a timer that is
 * not faster than allowed.
 */
#include "lapic_model.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define CHECK(cond)	do { if (!(cond)) { \
	fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond); abort(); } } while (0)

static void wild(const u8 *data, size_t size)
{
	struct cpu *c = &cpu[data[0] % CPUS];
	u8 image[HALO_LAPIC_IMAGE_BYTES], again[HALO_LAPIC_IMAGE_BYTES];
	u64 value;
	u32 offset;

	fx_setup(NULL);
	if (data[0] & 0x20)
		fx_x2apic(c);
	halo_lapic_save(&c->l, image);
	for (data++, size--; size >= 6 && data[0] & 1; data += 6, size -= 6) {
		offset = (data[1] | data[2] << 8) & 0x3fc;
		memcpy(image + offset, data + 2, 4);
	}
	if (!halo_lapic_load(&c->l, image)) {
		halo_lapic_save(&c->l, again);
		CHECK(!halo_lapic_load(&c->l, again));
	}
	for (; size >= 11; data += 11, size -= 11) {
		memcpy(&value, data + 3, 8);
		offset = data[1] | data[2] << 8;
		switch (data[0] & 7) {
		case 0:
			halo_lapic_mmio_write(&c->l, offset, data[0] >> 3, value);
			break;
		case 1:
			halo_lapic_mmio_read(&c->l, offset, 1 + (data[0] >> 3 & 7));
			break;
		case 2:
			halo_lapic_msr_write(&c->l, 0x7f0 + (offset & 0x11f), value);
			break;
		case 3:
			halo_lapic_msr_read(&c->l, offset & 0xfff, &value);
			break;
		case 4: {
			struct halo_ipi ipi;

			if (!halo_msi_decode(value, offset, &ipi))
				halo_lapic_route(all, CPUS, NULL, &ipi, &turn);
			ipi = (struct halo_ipi){ .dest = value, .vector = value >> 32,
						 .mode = value >> 40 & 7, .shorthand = value >> 43 & 3,
						 .logical = value >> 45 & 1, .wide = value >> 46 & 1,
						 .level = value >> 47 & 1, .trig = value >> 48 & 1 };
			turn = offset;
			halo_lapic_route(all, CPUS, &c->l, &ipi, &turn);
			break;
		}
		case 5:
			halo_lapic_set_base(&c->l, value, false);
			break;
		case 6:
			now_ns += value >> 20;
			now_tsc += value >> 30;
			halo_lapic_post_timer(&c->l);
			break;
		default:
			halo_lapic_set_tsc_deadline(&c->l, value);
			halo_lapic_set_line(&c->l, offset & 3, offset & 4);
			halo_lapic_set_cr8(&c->l, offset >> 4 & 15);
			break;
		}
		c->arms = 0;
		take_irq(c);
		CHECK(c->arms <= 2);
		CHECK(!((c->page[IRR >> 4].v | c->page[ISR >> 4].v) & 0xffff));
		for (unsigned int i = 0; i < HALO_LAPIC_REGS; i++) {
			CHECK(!c->page[i].high || i == ICR >> 4);
			CHECK(!c->page[i].zero[0] && !c->page[i].zero[1]);
		}
		halo_lapic_eoi(&c->l);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u64 random;

	if (size < 9)
		return 0;
	if (data[0] & 0x80) {
		wild(data, size);
		return 0;
	}
	driver_start();
	for (data++, size--; size >= 8; data += 8, size -= 8) {
		memcpy(&random, data, 8);
		driver_step(random);
	}
	return 0;
}
