//! Random states and operands, from a seed that a failing test prints.

use crate::vcpu::csr::DELEGABLE_EXCEPTIONS;
use crate::vcpu::interrupts::{FIOM, INTERRUPTS, STCE, STIP, SUPERVISOR_INTERRUPTS};
use crate::vcpu::testing::Still;
use crate::vcpu::{Interrupt, Mode, Vcpu, status};

/// xorshift64*: good enough, and needs nothing.
pub(in crate::vcpu) struct Random(u64);

impl Random {
    pub(in crate::vcpu) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(in crate::vcpu) const fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(in crate::vcpu) fn word(&mut self) -> u32 {
        u32::try_from(self.bits() >> 32).unwrap()
    }

    pub(in crate::vcpu) fn below(&mut self, bound: u32) -> u32 {
        self.word() % bound
    }

    pub(in crate::vcpu) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    pub(in crate::vcpu) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.word() as usize % from.len()]
    }

    /// A value such as registers meet: often with few bits, or nearly all.
    pub(in crate::vcpu) fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => self.bits() & self.bits() & self.bits(),
            4 => !(self.bits() & self.bits() & self.bits()),
            5 => self.below(64).into(),
            6 => 0x8000_0000 | u64::from(self.below(1 << 28)),
            _ => self.bits(),
        }
    }

    pub(in crate::vcpu) fn mode(&mut self) -> Mode {
        self.pick(&[Mode::User, Mode::Supervisor, Mode::Machine])
    }

    pub(in crate::vcpu) fn clocks(&mut self) -> Still {
        Still { time: self.value(), cycle: self.value(), instret: self.value(), fp_dirty: false }
    }

    fn mstatus(&mut self) -> u64 {
        let bits = self.value() & status::WRITABLE;
        status::RESET | status::with_sd(status::with_legal_mpp(bits))
    }

    fn satp(&mut self) -> u64 {
        self.value() & !(7 << 60)
    }

    /// Puts a hart into a random state that it could be in. PMP is left
    /// alone: see [`Random::protect`].
    pub(in crate::vcpu) fn state(&mut self, hart: &mut Vcpu, clocks: &Still) {
        for x in &mut hart.ctx.x[1..] {
            *x = self.value();
        }
        hart.ctx.pc = self.value() & !1;
        hart.mode = self.mode();
        let csr = &mut hart.csr;
        csr.mstatus = self.mstatus();
        csr.satp = self.satp();
        for vector in [&mut csr.stvec, &mut csr.mtvec] {
            *vector = self.value() & !2;
        }
        for pc in [&mut csr.sepc, &mut csr.mepc] {
            *pc = self.value() & !1;
        }
        for any in [&mut csr.sscratch, &mut csr.scause, &mut csr.stval, &mut csr.stimecmp] {
            *any = self.value();
        }
        for any in [&mut csr.mscratch, &mut csr.mcause, &mut csr.mtval, &mut csr.mhartid] {
            *any = self.value();
        }
        csr.medeleg = self.value() & DELEGABLE_EXCEPTIONS;
        csr.mideleg = self.value() & SUPERVISOR_INTERRUPTS;
        csr.mie = self.value() & INTERRUPTS;
        csr.menvcfg = self.value() & (FIOM | STCE);
        csr.senvcfg = self.value() & FIOM;
        self.pending(hart);
        self.counters(hart, clocks);
    }

    /// No external line of vS: the model has one bit for it and for what
    /// software wrote, which set and clear must tell apart.
    fn pending(&mut self, hart: &mut Vcpu) {
        let seip = Interrupt::SupervisorExternal.bit();
        hart.csr.set_lines(self.value() & !seip);
        let stip = if hart.csr.menvcfg & STCE != 0 { STIP } else { 0 };
        hart.csr.software = self.value() & SUPERVISOR_INTERRUPTS & !stip;
    }

    fn counters(&mut self, hart: &mut Vcpu, clocks: &Still) {
        let counters = &mut hart.csr.counters;
        counters.set_machine_enable(self.value());
        counters.set_supervisor_enable(self.value());
        counters.set_inhibit(self.value(), clocks.cycle, clocks.instret);
        counters.set_cycle(self.value(), clocks.cycle);
        counters.set_instret(self.value(), clocks.instret);
    }

    /// A random protection, with little locked, and regions that meet.
    pub(in crate::vcpu) fn protect(&mut self, hart: &mut Vcpu) {
        let pmp = &mut hart.csr.pmp;
        pmp.config = [0; 16];
        for entry in 0..16 {
            let value = self.region();
            pmp.write_address(entry, value);
        }
        let locks = if self.one_in(4) { self.bits() } else { 0 };
        for register in [0, 2] {
            let used = if self.one_in(2) { self.bits() } else { u64::MAX };
            let value = self.bits() & used & (0x7f7f_7f7f_7f7f_7f7f | locks);
            pmp.write_config(register, value);
        }
    }

    fn region(&mut self) -> u64 {
        match self.below(4) {
            0 => self.value(),
            1 => self.address() >> 2,
            _ => self.address() >> 2 | ((1 << self.below(20)) - 1),
        }
    }

    /// A physical address in the neighbourhood that PMP regions are put in.
    pub(in crate::vcpu) fn address(&mut self) -> u64 {
        0x8000_0000 + u64::from(self.below(32) << 12 | self.below(512) << 3)
    }
}
