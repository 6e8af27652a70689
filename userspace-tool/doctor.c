// SPDX-License-Identifier: GPL-2.0
/*
 * halo doctor: is this host able to run guests, and if not, what is missing.
 * halo version: what speaks with what.
 *
 * Doctor only looks: it creates no VM and loads nothing. Exit code 0 if a guest
 * could be started, else 126. Main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "acpi.h"
#include "doctor.h"
#include "hv.h"
#include "msg.h"

struct report {
	json_t *checks;
	bool json;
	bool ok;
};

enum verdict { GOOD, NOTE, BAD };

static void tell(struct report *r, const char *name, enum verdict v, const char *detail,
		 const char *fix)
{
	static const char *const words[] = { "ok", "note", "fail" };

	if (v == BAD)
		r->ok = false;
	if (r->json)
		json_array_append_new(r->checks, json_pack("{s:s, s:s, s:s, s:s?}", "name", name,
							   "result", words[v], "detail", detail,
							   "fix", fix));
	else
		printf("%-4s  %-8s  %s%s%s\n", words[v], name, detail, fix ? "; fix: " : "",
		       fix ? fix : "");
}

static bool read_line(const char *path, char *buf, size_t room)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		return false;
	ok = fgets(buf, (int)room, f);
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = 0;
	return ok;
}

static bool cpu_has(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	size_t room = 0, len = strlen(flag);
	char *line = NULL, *p;
	bool found = false;

	while (f && !found && getline(&line, &room, f) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		for (p = line; !found && (p = strstr(p, flag)); p += len)
			found = p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n');
		break;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static void check_cpu(struct report *r)
{
	bool svm = cpu_has("svm"), npt = cpu_has("npt"), vmx = cpu_has("vmx");

	if (svm)
		tell(r, "cpu", npt ? GOOD : BAD,
		     npt ? "AMD-V with nested paging" : "AMD-V, but no nested paging",
		     npt ? NULL : "use a CPU of 2008 or later");
	else if (vmx)
		tell(r, "cpu", GOOD, "VT-x", NULL);
	else
		tell(r, "cpu", BAD, "neither AMD-V nor VT-x (or switched off)",
		     "switch it on in the firmware, or nested virtualization on the outer host");
	if (cpu_has("hypervisor"))
		tell(r, "nested", NOTE, "this host is itself a guest", NULL);
}

static void check_kvm(struct report *r)
{
	static const char *const mods[] = { "kvm_amd", "kvm_intel" };
	char path[64], refs[32], text[128];
	bool any = false;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(mods); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s/refcnt", mods[i]);
		if (!read_line(path, refs, sizeof(refs)))
			continue;
		any = true;
		snprintf(text, sizeof(text), "%s is loaded, in use by %s", mods[i], refs);
		snprintf(path, sizeof(path), "if Halo is refused: modprobe -r %s", mods[i]);
		tell(r, "kvm", NOTE, text, path);
	}
	if (!any)
		tell(r, "kvm", GOOD, "not in the way", NULL);
}

static void check_lockdown(struct report *r)
{
	char line[128];

	if (!read_line("/sys/kernel/security/lockdown", line, sizeof(line)) ||
	    strstr(line, "[none]"))
		return;
	tell(r, "lockdown", NOTE, "Secure Boot or lockdown is on: only signed modules load",
	     "sign halo.ko with a key enrolled by mokutil");
}

static int open_device(struct report *r)
{
	char text[160];
	int fd = open(HV_DEVICE, O_RDWR | O_CLOEXEC), v;

	if (fd < 0) {
		snprintf(text, sizeof(text), "%s: %s", HV_DEVICE, strerror(errno));
		tell(r, "device", BAD, text, errno == EACCES || errno == EPERM ?
		     "run as root or join the group that owns it" :
		     "load it with \"modprobe halo\" or \"insmod halo.ko\"");
		return -1;
	}
	v = ioctl(fd, HALO_GET_API_VERSION);
	if (v == HALO_API_VERSION) {
		snprintf(text, sizeof(text), "%s, interface %d", HV_DEVICE, v);
		tell(r, "device", GOOD, text, NULL);
		return fd;
	}
	snprintf(text, sizeof(text), "the module speaks interface %d, this tool %d", v,
		 HALO_API_VERSION);
	tell(r, "device", BAD, text, "install module and tool of the same release");
	close(fd);
	return -1;
}

static json_t *capabilities(struct report *r, int fd)
{
	static const char *const names[HALO_CAP_MAX] = {
		[HALO_CAP_BACKEND] = "backend", [HALO_CAP_MAX_VCPUS] = "max_vcpus",
		[HALO_CAP_MAX_MEMSLOTS] = "max_memslots", [HALO_CAP_GPA_BITS] = "gpa_bits",
		[HALO_CAP_NRIPS] = "nrips", [HALO_CAP_DECODE_ASSISTS] = "decode_assists",
		[HALO_CAP_FLUSH_BY_ASID] = "flush_by_asid", [HALO_CAP_HUGE_PAGES] = "huge_pages",
		[HALO_CAP_TSC_DEADLINE] = "tsc_deadline", [HALO_CAP_X2APIC] = "x2apic",
		[HALO_CAP_PV_CLOCK] = "pv_clock", [HALO_CAP_ZONE_POSTED] = "zone_posted",
		[HALO_CAP_ZONE_DOORBELL] = "zone_doorbell", [HALO_CAP_RUN_PARKED] = "run_parked",
		[HALO_CAP_TSC_KHZ] = "tsc_khz", [HALO_CAP_NESTED] = "nested",
		[HALO_CAP_SMP] = "smp", [HALO_CAP_VNMI] = "vnmi",
		[HALO_CAP_PAUSE_LOOP] = "pause_loop", [HALO_CAP_TSC_SCALING] = "tsc_scaling",
		[HALO_CAP_IRQFD] = "irqfd", [HALO_CAP_VIRT_INTR] = "virt_intr",
		[HALO_CAP_STATS_FD] = "stats_fd",
	};
	static const char *const backends[] = { "none", "SVM", "VMX" };
	struct hv hv = { .dev = fd, .vm = -1 };
	json_t *caps = json_object();
	struct halo_cap_query q;
	u32 i;

	for (i = 0; i < HALO_CAP_MAX; i++) {
		if (!names[i] || hv_cap(&hv, i, &q))
			continue;
		json_object_set_new(caps, names[i], json_pack("{s:I, s:i, s:s}", "value",
							      (json_int_t)q.value, "reason",
							      (int)q.reason, "text", q.text));
		if (i == HALO_CAP_BACKEND) {
			const char *name = q.value < ARRAY_SIZE(backends) ? backends[q.value] : "?";

			if (q.value && q.reason == HALO_REASON_NONE)
				tell(r, "backend", GOOD, name, NULL);
			else
				tell(r, "backend", BAD, q.text[0] ? q.text : "no backend can run here",
				     NULL);
		} else if (!r->json) {
			printf("      %-14s  %llu%s%s\n", names[i], (unsigned long long)q.value,
			       q.text[0] ? "  " : "", q.text);
		}
	}
	return caps;
}

static int print_json(json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	json_decref(j);
	if (!text)
		return msg_fail(EC_ERROR, "--json", NULL, "can't be written");
	puts(text);
	free(text);
	return 0;
}

/**
 * doctor() - "halo doctor"
 * @c: options
 *
 * Return: 0 if a guest could be started, else EC_DEVICE.
 */
int doctor(const struct list_config *c)
{
	struct report r = { .json = c->json, .ok = true, .checks = json_array() };
	json_t *caps = NULL;
	int fd;

	check_cpu(&r);
	check_kvm(&r);
	check_lockdown(&r);
	fd = open_device(&r);
	if (fd >= 0) {
		caps = capabilities(&r, fd);
		close(fd);
	}
	if (c->json)
		print_json(json_pack("{s:b, s:o, s:o}", "ok", r.ok, "checks", r.checks,
				     "capabilities", caps ? caps : json_object()));
	else
		printf("%s\n", r.ok ? "This host can run guests." : "This host can't run guests yet.");
	if (!c->json) {
		json_decref(r.checks);
		json_decref(caps);
	}
	return r.ok ? EC_OK : EC_DEVICE;
}

/**
 * version() - "halo version"
 * @c: options
 *
 * Return: the exit code.
 */
int version(const struct list_config *c)
{
	char module[64] = "";
	int fd, api = -1, r;

	if (c->acpi_dir) {
		r = acpi_dump(c->acpi_dir, 2, dsdt_aml, dsdt_aml_bytes);
		return r ? msg_fail(EC_ERROR, c->acpi_dir, "give an existing directory", "%s",
				    strerror(-r)) : EC_OK;
	}
	read_line("/sys/module/halo/version", module, sizeof(module));
	fd = open(HV_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		api = ioctl(fd, HALO_GET_API_VERSION);
		close(fd);
	}
	if (c->json)
		return print_json(json_pack("{s:s, s:i, s:s?, s:o}", "version", HALO_VERSION,
					    "interface", HALO_API_VERSION, "module",
					    module[0] ? module : NULL, "module_interface",
					    api >= 0 ? json_integer(api) : json_null()));
	printf("halo %s (interface %d)\n", HALO_VERSION, HALO_API_VERSION);
	if (api >= 0)
		printf("module %s%s(interface %d)\n", module, module[0] ? " " : "", api);
	return EC_OK;
}
