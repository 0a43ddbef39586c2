//! The ladder for a guest whose memory is not where it usually is, as with
//! `dma=trusted`: the same kernel, which finds out where it is.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod kernel;

/// Where it starts: applies its relocations, all of which add the address of
/// the image (`R_RISCV_RELATIVE`; psABI, "Dynamic relocations"), and goes on as
/// ever.
#[cfg(target_os = "none")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.entry.moved")]
extern "C" fn _start_moved() -> ! {
    core::arch::naked_asm!(
        "lla t0, __image",
        "lla t1, __relocations_start",
        "lla t2, __relocations_end",
        "1: bgeu t1, t2, 2f",
        "ld t3, 0(t1)",
        "ld t4, 16(t1)",
        "add t3, t3, t0",
        "add t4, t4, t0",
        "sd t4, 0(t3)",
        "addi t1, t1, 24",
        "j 1b",
        "2: tail _start_s",
    )
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is a kernel: `cargo xtask bench` runs it");
    std::process::exit(2);
}
