/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints halo:*: what happens between a guest, the module and userspace.
 *
 * Each costs a patched no-op while nobody listens.  They stand in the core only, outside
 * of guest_state_enter() and exit(), where a CPU may not be traced; may be called with
 * interrupts off.  Names and fields are an interface (man page halo(1)): a field keeps its
 * meaning, new ones come at the end.  Numbers are those of the user interface where it has
 * them; exit_reason is enum halo_hw_reason, whose names a format file tells.
 *
 * The vm of an event is that of struct halo_stats_header: it tells VMs apart.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM halo

#if !defined(HALO_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define HALO_TRACE_H

#include <linux/tracepoint.h>
#include "reasons.h"
#include "vcpu.h"

#ifndef HALO_TRACE_ONCE
#define HALO_TRACE_ONCE
/* Where an interrupt message came from. */
enum halo_irq_source { HALO_IRQ_MSI, HALO_IRQ_IRQFD, HALO_IRQ_IPI };

void halo_trace_info(const struct halo_cpu *cpu, u64 *info1, u64 *info2);
#endif

#define halo_reason_enum(nr, name)	TRACE_DEFINE_ENUM(HW_##nr);
HALO_REASONS(halo_reason_enum)
TRACE_DEFINE_ENUM(HW_UNKNOWN);

#define halo_reason_name(nr, name)	{ HW_##nr, #name },
#define halo_show_reason(reason)						\
	__print_symbolic(reason, HALO_REASONS(halo_reason_name) { HW_UNKNOWN, "unknown" })

#define halo_show_exit(type)							\
	__print_symbolic(type, { 1, "pio" }, { 2, "mmio" }, { 3, "msr" },	\
			 { 4, "hypercall" }, { 5, "intack" }, { 6, "eoi" },	\
			 { 7, "insn" }, { 8, "hlt" }, { 9, "shutdown" },	\
			 { 10, "fail" }, { 11, "memory" }, { 12, "debug" },	\
			 { 13, "reset" })

#define halo_show_exit_flags(flags)						\
	__print_flags(flags, "|", { 1, "sync" }, { 2, "posted" }, { 4, "string" }, \
		      { 8, "rep" }, { 16, "write" })

#define halo_show_bus(bus)							\
	__print_symbolic(bus, { 0, "pio" }, { 1, "mmio" }, { 2, "msr" }, { 3, "hypercall" })

#define halo_show_zone(mode)							\
	__print_symbolic(mode, { 0, "sync" }, { 1, "posted" }, { 2, "doorbell" }, \
			 { 3, "const" }, { 4, "deny" })

#define halo_show_action(action)						\
	__print_symbolic(action, { 0, "done" }, { 1, "retry" }, { 2, "inject" }, \
			 { 3, "shutdown" })

#define halo_show_event(type)							\
	__print_symbolic(type, { 1, "intr" }, { 2, "nmi" }, { 3, "exception" }, \
			 { 4, "soft_int" })

#define halo_show_access(access)						\
	__print_flags(access, "|", { 1, "write" }, { 2, "exec" }, { 4, "walk" })

#define halo_show_source(source)						\
	__print_symbolic(source, { 0, "msi" }, { 1, "irqfd" }, { 2, "ipi" })

#define halo_show_delivery(mode)						\
	__print_symbolic(mode, { 0, "fixed" }, { 1, "lowest" }, { 2, "smi" },	\
			 { 4, "nmi" }, { 5, "init" }, { 6, "sipi" }, { 7, "extint" })

TRACE_EVENT(halo_entry,
	TP_PROTO(const struct halo_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, guest_rip)
		__field(u32, vcpu_id)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->guest_rip = vcpu->cpu.rip;
		__entry->vcpu_id = vcpu->id;
	),
	TP_printk("vm %llu vcpu %u rip 0x%llx", __entry->vm, __entry->vcpu_id, __entry->guest_rip)
);

TRACE_EVENT(halo_exit,
	TP_PROTO(const struct halo_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, guest_rip)
		__field(u64, info1)
		__field(u64, info2)
		__field(u32, vcpu_id)
		__field(u32, exit_reason)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->guest_rip = vcpu->cpu.rip;
		__entry->vcpu_id = vcpu->id;
		__entry->exit_reason = vcpu->cpu.exit.reason;
		halo_trace_info(&vcpu->cpu, &__entry->info1, &__entry->info2);
	),
	TP_printk("vm %llu vcpu %u reason %s rip 0x%llx info 0x%llx 0x%llx", __entry->vm,
		  __entry->vcpu_id, halo_show_reason(__entry->exit_reason), __entry->guest_rip,
		  __entry->info1, __entry->info2)
);

/* Again if an exit came in between; what the CPU delivers by itself is not told. */
TRACE_EVENT_CONDITION(halo_inject,
	TP_PROTO(const struct halo_vcpu *vcpu),
	TP_ARGS(vcpu),
	TP_CONDITION(vcpu->cpu.event.type != EVENT_NONE),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u32, vcpu_id)
		__field(u32, error_code)
		__field(u8, type)
		__field(u8, vector)
		__field(u8, has_error)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->vcpu_id = vcpu->id;
		__entry->error_code = vcpu->cpu.event.error;
		__entry->type = vcpu->cpu.event.type;
		__entry->vector = vcpu->cpu.event.vector;
		__entry->has_error = vcpu->cpu.event.has_error;
	),
	TP_printk("vm %llu vcpu %u %s vector %u has_error %u error_code 0x%x", __entry->vm,
		  __entry->vcpu_id, halo_show_event(__entry->type), __entry->vector,
		  __entry->has_error, __entry->error_code)
);

TRACE_EVENT(halo_fault,
	TP_PROTO(const struct halo_vcpu *vcpu, int result),
	TP_ARGS(vcpu, result),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, guest_rip)
		__field(u64, gpa)
		__field(u32, vcpu_id)
		__field(int, result)
		__field(u8, access)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->guest_rip = vcpu->cpu.rip;
		__entry->gpa = vcpu->cpu.exit.mem.gpa;
		__entry->vcpu_id = vcpu->id;
		__entry->result = result;
		__entry->access = vcpu->cpu.exit.mem.write | vcpu->cpu.exit.mem.exec << 1 |
				  vcpu->cpu.exit.mem.walk << 2;
	),
	TP_printk("vm %llu vcpu %u gpa 0x%llx access %s result %s (%d) rip 0x%llx", __entry->vm,
		  __entry->vcpu_id, __entry->gpa, halo_show_access(__entry->access),
		  __print_symbolic(__entry->result, { 0, "mapped" }, { 1, "mmio" }),
		  __entry->result, __entry->guest_rip)
);

/* An access that a zone knows; @a->value as the guest wrote it, or as a constant zone gives. */
TRACE_EVENT(halo_zone,
	TP_PROTO(const struct halo_vcpu *vcpu, const struct halo_access *a, u8 mode),
	TP_ARGS(vcpu, a, mode),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, addr)
		__field(u64, data)
		__field(u64, cookie)
		__field(u32, vcpu_id)
		__field(u8, bus)
		__field(u8, mode)
		__field(u8, size)
		__field(u8, write)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->addr = a->addr;
		__entry->data = a->value;
		__entry->cookie = a->cookie;
		__entry->vcpu_id = vcpu->id;
		__entry->bus = a->bus;
		__entry->mode = mode;
		__entry->size = a->size;
		__entry->write = a->write;
	),
	TP_printk("vm %llu vcpu %u %s %s addr 0x%llx size %u write %u data 0x%llx cookie 0x%llx",
		  __entry->vm, __entry->vcpu_id, halo_show_bus(__entry->bus),
		  halo_show_zone(__entry->mode), __entry->addr, __entry->size, __entry->write,
		  __entry->data, __entry->cookie)
);

/* @exit is in the ring now, if there was no @err. */
TRACE_EVENT_CONDITION(halo_user_exit,
	TP_PROTO(const struct halo_vcpu *vcpu, const struct halo_exit *exit, int err),
	TP_ARGS(vcpu, exit, err),
	TP_CONDITION(!err),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, guest_rip)
		__field(u64, seq)
		__field(u64, addr)
		__field(u64, data)
		__field(u64, cookie)
		__field(u32, vcpu_id)
		__field(u16, type)
		__field(u16, flags)
		__field(u8, size)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->guest_rip = exit->rip;
		__entry->seq = exit->seq;
		__entry->addr = exit->addr;
		__entry->data = exit->data;
		__entry->cookie = exit->cookie;
		__entry->vcpu_id = vcpu->id;
		__entry->type = exit->type;
		__entry->flags = exit->flags;
		__entry->size = exit->size;
	),
	TP_printk("vm %llu vcpu %u seq %llu %s %s addr 0x%llx size %u data 0x%llx cookie 0x%llx rip 0x%llx",
		  __entry->vm, __entry->vcpu_id, __entry->seq, halo_show_exit(__entry->type),
		  halo_show_exit_flags(__entry->flags), __entry->addr, __entry->size,
		  __entry->data, __entry->cookie, __entry->guest_rip)
);

TRACE_EVENT(halo_reply,
	TP_PROTO(const struct halo_vcpu *vcpu, const struct halo_answer *reply),
	TP_ARGS(vcpu, reply),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, seq)
		__field(u64, data)
		__field(u32, vcpu_id)
		__field(u32, error_code)
		__field(u8, action)
		__field(u8, vector)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->seq = reply->seq;
		__entry->data = reply->data;
		__entry->vcpu_id = vcpu->id;
		__entry->error_code = reply->error;
		__entry->action = reply->what;
		__entry->vector = reply->what >> 8;
	),
	TP_printk("vm %llu vcpu %u seq %llu %s data 0x%llx vector %u error_code 0x%x",
		  __entry->vm, __entry->vcpu_id, __entry->seq, halo_show_action(__entry->action),
		  __entry->data, __entry->vector, __entry->error_code)
);

/* A message to the LAPICs: @taken is how many vCPUs took it.  A self-IPI needs none. */
TRACE_EVENT(halo_irq,
	TP_PROTO(const struct halo_vm *vm, u8 source, const struct halo_ipi *ipi, int taken),
	TP_ARGS(vm, source, ipi, taken),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u32, dest)
		__field(int, taken)
		__field(u8, source)
		__field(u8, vector)
		__field(u8, mode)
		__field(u8, shorthand)
		__field(u8, logical)
		__field(u8, level)
	),
	TP_fast_assign(
		__entry->vm = vm->nr;
		__entry->dest = ipi->dest;
		__entry->taken = taken;
		__entry->source = source;
		__entry->vector = ipi->vector;
		__entry->mode = ipi->mode;
		__entry->shorthand = ipi->shorthand;
		__entry->logical = ipi->logical;
		__entry->level = ipi->trig;
	),
	TP_printk("vm %llu %s %s vector %u dest 0x%x%s shorthand %u level %u taken %d", __entry->vm,
		  halo_show_source(__entry->source), halo_show_delivery(__entry->mode),
		  __entry->vector, __entry->dest, __entry->logical ? " logical" : "",
		  __entry->shorthand, __entry->level, __entry->taken)
);

/* A PARKED vCPU has waited for its server; @ns asleep, 0 if looking out was enough. */
TRACE_EVENT(halo_ring_wait,
	TP_PROTO(const struct halo_vcpu *vcpu, u64 ns, int result),
	TP_ARGS(vcpu, ns, result),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, ns)
		__field(u32, vcpu_id)
		__field(int, result)
		__field(u8, room)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->ns = ns;
		__entry->vcpu_id = vcpu->id;
		__entry->result = result;
		__entry->room = vcpu->exit_waits;
	),
	TP_printk("vm %llu vcpu %u for %s ns %llu result %d", __entry->vm, __entry->vcpu_id,
		  __print_symbolic(__entry->room, { 0, "reply" }, { 1, "room" }), __entry->ns,
		  __entry->result)
);

/* A vCPU has slept, in HLT or before its INIT or SIPI. */
TRACE_EVENT(halo_halt,
	TP_PROTO(const struct halo_vcpu *vcpu, u64 ns, int result),
	TP_ARGS(vcpu, ns, result),
	TP_STRUCT__entry(
		__field(u64, vm)
		__field(u64, ns)
		__field(u32, vcpu_id)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->vm = vcpu->vm->nr;
		__entry->ns = ns;
		__entry->vcpu_id = vcpu->id;
		__entry->result = result;
	),
	TP_printk("vm %llu vcpu %u ns %llu result %d", __entry->vm, __entry->vcpu_id, __entry->ns,
		  __entry->result)
);

#endif /* HALO_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
