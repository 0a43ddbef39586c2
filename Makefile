# The front door. Each target says in one line what is missing, and installs
# what it can; the work is done by the host tool in xtask/.

.DEFAULT_GOAL := help
.PHONY: help qemu qemu-pair qemu-linux qemu-passthrough qemu-rcore qemu-xv6 xv6-apply xv6-revert c-abi test lint bench bench-compare setup rust

RUST := 1.95

help: ## list what there is
	@echo "Trapeze: a RISC-V VMM for machines without the H extension"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26
	@echo
	@echo "  cargo xtask run --help    run guests of your own"
	@echo "  While guests run, Ctrl-] ? lists the keys of the monitor, and Ctrl-A x ends the machine."

qemu: rust ## run the demo: our own guest kernel, with a shell; ARGS="..." adds options, such as --trace -
	@cargo xtask qemu $(ARGS)

qemu-pair: rust ## run two demos that talk to each other over the VMM's switch
	@cargo xtask pair $(ARGS)

qemu-rcore: rust ## run a kernel of the rCore tutorial, as it is
	@cargo xtask rcore $(ARGS)

qemu-linux: rust ## run Debian's Linux to a shell; KERNEL= INITRD= DISK= NET= APPEND= CPUS= MEM= for your own
	@cargo xtask linux $(if $(KERNEL),--kernel "$(KERNEL)") $(if $(INITRD),--initrd "$(INITRD)") \
	  $(if $(DISK),--disk "$(DISK)") $(if $(NET),--net "$(NET)") $(if $(APPEND),--append "$(APPEND)") \
	  $(if $(CPUS),--cpus $(CPUS)) $(if $(MEM),--memory $(MEM)) $(ARGS)

qemu-xv6: rust ## run a built xv6-riscv: XV6=path [DISK=pv|virtio-mmio|ata] [CPUS=n]
	@$(NEEDS_XV6)
	@cargo xtask xv6 run "$(XV6)" $(if $(DISK),--disk $(DISK)) $(if $(CPUS),--cpus $(CPUS)) $(ARGS)

xv6-apply: rust ## patch a copy of an xv6-riscv to use our drivers: XV6=path [TO=path], or IN_PLACE=1
	@$(NEEDS_XV6)
	@cargo xtask xv6 apply "$(XV6)" $(if $(TO),--to "$(TO)") $(if $(IN_PLACE),--in-place)

xv6-revert: rust ## take the patches out again: XV6=path
	@$(NEEDS_XV6)
	@cargo xtask xv6 revert "$(XV6)"

NEEDS_XV6 = test -n "$(XV6)" || { echo "error: name your checkout of xv6-riscv: make $@ XV6=path"; exit 1; }

c-abi: rust ## build guest-drivers as a static library for kernels in C, and say where it is
	@cargo xtask c-abi

qemu-passthrough: rust ## run Linux with a network card of its own: it fetches a page; ARGS="--pass net,dma=trusted" and the like
	@cargo xtask passthrough $(ARGS)

test: rust ## run all tests: on the host, the build for RISC-V, guests in QEMU
	@cargo xtask test

lint: rust ## check formatting, lints and the rules of the house
	@cargo xtask lint

bench: rust ## measure what things cost a guest; BENCH=quick in minutes, ARGS=--help says more
	@cargo xtask bench $(if $(filter quick,$(BENCH)),--quick) $(ARGS)

# What follows it are files, not targets.
ifeq ($(firstword $(MAKECMDGOALS)),bench-compare)
REPORTS := $(wordlist 2,9,$(MAKECMDGOALS))
.PHONY: $(REPORTS)
$(REPORTS): ; @:
endif
bench-compare: rust ## show what changed between two reports: make bench-compare A.json B.json
	@cargo xtask bench-compare $(REPORTS)

setup: rust ## install what is needed, such as QEMU; the other targets do it, too
	@cargo xtask setup

# What the host tool itself needs.
rust:
	@command -v cargo >/dev/null || { \
	  echo "error: Rust is missing: install it with rustup (apt install rustup, or see rustup.rs)"; exit 1; }
	@command -v cc >/dev/null || { \
	  echo "error: a C compiler is missing, which Rust uses to link: apt install gcc"; exit 1; }
	@printf '%s\n' "$(RUST)" "$$(cargo --version | cut -d ' ' -f 2)" | sort -V -C || { \
	  echo "error: Rust $(RUST) or newer is needed: install it with rustup (apt install rustup, or see rustup.rs)"; exit 1; }
