//! Instruction words that a probe makes up at run time.
//!
//! Encodings: RISC-V unprivileged ISA, "RV32/64G Instruction Set Listings".

/// Register a0.
pub const A0: u32 = 10;
/// Register a1.
pub const A1: u32 = 11;

/// `ecall`.
pub const ECALL: u32 = 0x0000_0073;
/// `ebreak`.
pub const EBREAK: u32 = 0x0010_0073;
/// `mret`.
pub const MRET: u32 = 0x3020_0073;
/// `sret`.
pub const SRET: u32 = 0x1020_0073;
/// `wfi`.
pub const WFI: u32 = 0x1050_0073;
/// `sfence.vma x0, x0`.
pub const SFENCE_VMA: u32 = 0x1200_0073;
/// `nop`.
pub const NOP: u32 = 0x0000_0013;
/// `unimp`: `csrrw x0, cycle, x0`, which no machine can execute.
pub const UNIMP: u32 = 0xc000_1073;

/// `csrrw rd, csr, rs1`.
#[must_use]
pub fn csrrw(rd: u32, csr: u16, rs1: u32) -> u32 {
    csr_form(1, rd, csr, rs1)
}

/// `csrrs rd, csr, rs1`.
#[must_use]
pub fn csrrs(rd: u32, csr: u16, rs1: u32) -> u32 {
    csr_form(2, rd, csr, rs1)
}

/// `csrrc rd, csr, rs1`.
#[must_use]
pub fn csrrc(rd: u32, csr: u16, rs1: u32) -> u32 {
    csr_form(3, rd, csr, rs1)
}

/// `csrrwi rd, csr, imm`.
#[must_use]
pub fn csrrwi(rd: u32, csr: u16, imm: u32) -> u32 {
    csr_form(5, rd, csr, imm)
}

/// `csrrsi rd, csr, imm`.
#[must_use]
pub fn csrrsi(rd: u32, csr: u16, imm: u32) -> u32 {
    csr_form(6, rd, csr, imm)
}

/// `csrrci rd, csr, imm`.
#[must_use]
pub fn csrrci(rd: u32, csr: u16, imm: u32) -> u32 {
    csr_form(7, rd, csr, imm)
}

fn csr_form(funct3: u32, rd: u32, csr: u16, rs1: u32) -> u32 {
    u32::from(csr) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73
}
