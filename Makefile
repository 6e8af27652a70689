# SPDX-License-Identifier: GPL-2.0
# Halo. `make demo` shows it, `make check` tests it; `make help` lists the rest.

KDIR ?= /lib/modules/$(shell uname -r)/build
KVER := $(shell sed -n "s/.*UTS_RELEASE \"\(.*\)\"/\1/p" $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
# COUNT=1: a module that counts its VMREADs and the like (module/count.h), beside the other.
B := build/$(KVER)$(if $(COUNT),.count)
TOP := $(CURDIR)

# The module is built in build/KVER, from links to the sources, so that several
# kernels' builds do not meet.
KSRC := module svm vmx ept uapi

.PHONY: all help module sparse tool clean demo check bench
all: module tool

help:
	@echo "make demo            build all, boot the nested machine, run a Debian guest in it;"
	@echo "                     CPU=vmx: on VT-x"
	@echo "make check           every test (KTAP; the last line counts them)"
	@echo "make module          build/KVER/halo.ko for KDIR (default: the running kernel)"
	@echo "make tool            userspace-tool/halo"
	@echo "make check-host      the pure code as ordinary programs, with sanitizers and fuzzers"
	@echo "make check-kunit     the same suites in the debug kernel"
	@echo "make check-svm       kselftests on AMD-V in the nested machine"
	@echo "make check-svm3      the same on an AMD-V that has NRIPS"
	@echo "make check-vmx       the same on VT-x"
	@echo "make check-vmx3      the same on a VT-x that delivers interrupts itself"
	@echo "make check-vmx-check the entry checks of VT-x, our table of them beside a CPU"
	@echo "make check-static    checkpatch, sparse, objtool, house rules"
	@echo "make check-tool      halo stat and halo trace beside running guests"
	@echo "make check-boot      stock Debian kernels as hosts and guests; check-boot-vmx: as guests"
	@echo "make check-lab       the nested machine itself, and its splat gate; check-lab-vmx: Bochs"
	@echo "make bench           what operations of a guest cost, beside KVM, in instructions;"
	@echo "                     CPU=svm|svm-auto|vmx3|svm3: on one machine (check-bench: none got worse)"
	@echo "make clean           build/ away; caches stay"

.PHONY: tree
tree:
	@test -n "$(KVER)" || { echo "halo: $(KDIR): no kernel headers; fix: apt-get install linux-headers-\$$(uname -r), or give KDIR=" >&2; exit 1; }
	@mkdir -p $(B)
	@test $(B)/.configured -nt scripts/configure.sh || { scripts/configure.sh $(KDIR) $(B) && touch $(B)/.configured; }
	@for d in $(KSRC); do mkdir -p $(B)/$$d; done
	@for f in $$(cd $(TOP) && find $(KSRC) -name '*.[chS]'); do \
		mkdir -p $(B)/$$(dirname $$f); ln -sfn $(TOP)/$$f $(B)/$$f; done
	@ln -sfn $(TOP)/Kbuild $(B)/Kbuild

module: tree
	+flock $(B)/.lock $(MAKE) -C $(KDIR) M=$(TOP)/$(B) W=1 modules

sparse: tree
	+flock $(B)/.lock $(MAKE) -C $(KDIR) M=$(TOP)/$(B) C=2 CF="-D__CHECK_ENDIAN__ -Wsparse-error" modules

tool:
	+$(MAKE) -C userspace-tool

demo:
	@CPU=$(or $(CPU),svm) selftests/demo

# Suites by name: check-host, check-svm, check-boot ...
SUITES := build static host lab boot bench svm svm3 vmx vmx3 boot-vmx lab-vmx vmx-check kunit lab-debug tool

bench:
	@scripts/deps.sh all gnuplot-nox
	@selftests/bench/bench $(if $(CPU),--cpu $(CPU)) $(if $(SAVE),--save)

check:
	@scripts/deps.sh all
	@selftests/check

$(addprefix check-,$(SUITES)):
	@scripts/deps.sh all
	@selftests/check $(@:check-%=%)

clean:
	rm -rf build
	+$(MAKE) -C userspace-tool clean
