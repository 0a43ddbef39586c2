//! Trapeze: a machine-mode VMM for RISC-V machines without the H extension.
//!
//! The house, from the door to the cellar:
//!
//! ```text
//!   hw        the real machine: boot, world switch, real CSRs and devices
//!    │  enter(&mut seat) -> trap        (only here is assembly or MMIO)
//!   machine   guests, vCPUs and the one loop: exit in, effects out
//!    ├─ vcpu    the virtual hart: CSRs, traps, privileged instructions
//!    ├─ decode  instructions that can trap, loads and stores
//!    ├─ mmu     guest page walk, shadow page tables
//!    ├─ mem     guest RAM, addressed by Gpa
//!    ├─ bus     the guest-physical address map: RAM or which device
//!    │   └─ dev, virtio, disk, net   devices as register machines
//!    ├─ pv      the same devices behind hypercalls
//!    ├─ pci     the bus on which it sees those of PCI
//!    ├─ iommu   what keeps a guest's real devices within its memory
//!    ├─ pass    devices of the real machine that belong to a guest
//!    ├─ sbi     the firmware a guest kernel calls
//!    ├─ bundle  what to run, from the host tool
//!    ├─ load, fdt, entropy       images in, device tree and its seed out
//!    └─ stats, trace             counters by cause, a line per exit
//!   addr      Gva, Gpa, Hpa: addresses that cannot be mixed up
//! ```
//!
//! Everything but `hw` is pure: it compiles and is tested on the host.
//! `docs/architecture.md` has the invariants, and the path of each exit.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod addr;
pub mod bundle;
pub mod bus;
pub mod decode;
pub mod dev;
pub mod disk;
pub mod entropy;
pub mod fdt;
#[cfg(target_os = "none")]
pub mod hw;
pub mod iommu;
pub mod load;
pub mod machine;
pub mod mem;
pub mod mmu;
pub mod net;
pub mod pass;
pub mod pci;
pub mod pv;
pub mod sbi;
pub mod spare;
pub mod stats;
pub mod trace;
pub mod vcpu;
pub mod virtio;
