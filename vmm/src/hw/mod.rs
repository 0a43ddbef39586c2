//! The real machine: the only place that executes privileged instructions or
//! touches device registers.
//!
//! ```text
//! boot     _start, stacks, memory map, heap; then machine::run on each hart
//! plain    each trap's way in; CSR accesses that are done right there
//! switch   into the guest and out again
//! csr      names for the CSR accesses that the VMM makes
//! hart     the Host that `machine` works with, one per hart
//! supervisor  its S-mode, while a guest's vS runs there
//! console  the real UART
//! clint, plic, power, virtio   the other devices of the real machine
//! fpu      floating-point registers
//! pci, iommu   functions for guests, and what keeps them to their memory
//! memory   who gets which part of RAM;  heap  the VMM's own
//! panic    the VMM's own end
//! ```
#![allow(unsafe_code)]

pub(crate) mod boot;
mod clint;
mod console;
mod csr;
mod fpu;
mod hart;
mod heap;
mod iommu;
mod memory;
mod panic;
mod pci;
mod plain;
mod plic;
mod power;
mod rtc;
mod supervisor;
mod switch;
mod virtio;
