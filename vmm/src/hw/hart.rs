//! The real hart that this code runs on, as `machine` sees it.

use super::supervisor::RealSupervisor;
use super::{clint, console, csr, fpu, iommu, pci, plic, switch, virtio};
use crate::addr::Hpa;
use crate::machine::{External, FpRegisters, Host, Seat, Trap};
use crate::vcpu::{Env, Supervisor};

/// `satp.MODE` of Sv39.
const SV39: u64 = 8 << 60;

/// One real hart; made once on each.
pub(super) struct RealHart {
    id: usize,
    counters: u32,
    supervisor: RealSupervisor,
}

impl RealHart {
    /// Prepares this hart for guests: traps come to `switch`. They may run
    /// once it is [guarded](csr::guard).
    pub(super) fn new(id: usize) -> Self {
        csr::set_trap_vector(switch::trap_vector());
        csr::set_scratch(0);
        csr::set_counters(0);
        clint::set_timer(id, u64::MAX);
        clint::clear_kick(id);
        Self { id, counters: 0, supervisor: RealSupervisor::new() }
    }
}

impl Env for RealHart {
    #[inline(always)]
    fn time(&self) -> u64 {
        csr::time()
    }

    #[inline(always)]
    fn cycle(&self) -> u64 {
        csr::cycle()
    }

    #[inline(always)]
    fn instret(&self) -> u64 {
        csr::instret()
    }

    #[inline(always)]
    fn fp_dirty(&self) -> bool {
        csr::status() & csr::STATUS_FS == csr::STATUS_FS
    }
}

impl Host for RealHart {
    #[inline(always)]
    fn hart(&self) -> usize {
        self.id
    }

    #[inline(always)]
    fn enter(&mut self, seat: &mut Seat) -> Trap {
        switch::enter(self, seat)
    }

    #[inline]
    fn set_root(&mut self, root: Hpa) {
        csr::set_satp(SV39 | root.page());
        csr::flush_tlb();
    }

    #[inline]
    fn flush(&mut self) {
        csr::flush_tlb();
    }

    fn fence_i(&mut self) {
        csr::fence_i();
    }

    fn set_fp(&mut self, fs: u64) {
        csr::clear_status_bits(csr::STATUS_FS);
        csr::set_status_bits(fs & csr::STATUS_FS);
    }

    fn save_fp(&mut self, registers: &mut FpRegisters) {
        fpu::save(registers);
    }

    fn load_fp(&mut self, registers: &FpRegisters) {
        fpu::load(registers);
    }

    #[inline]
    fn load_supervisor(&mut self, registers: &Supervisor) {
        self.supervisor.load(registers);
    }

    #[inline]
    fn save_supervisor(&mut self) -> &Supervisor {
        self.supervisor.save()
    }

    #[inline]
    fn leave_supervisor(&mut self) {
        self.supervisor.put_out_of_use();
    }

    #[inline]
    fn supervisor_timer(&self) -> Option<u64> {
        self.supervisor.timer()
    }

    #[inline]
    fn set_supervisor_timer(&mut self, deadline: Option<u64>) {
        self.supervisor.set_timer(deadline);
    }

    #[inline(always)]
    fn status(&self) -> u64 {
        csr::status()
    }

    fn set_counters(&mut self, enable: u32) {
        if enable != self.counters {
            self.counters = enable;
            csr::set_counters(enable.into());
        }
    }

    fn set_timer(&mut self, deadline: u64) {
        clint::set_timer(self.id, deadline);
    }

    fn kick(&self, hart: usize) {
        clint::kick(hart);
    }

    fn clear_kick(&mut self) {
        clint::clear_kick(self.id);
    }

    fn wait(&mut self) {
        // What a guest enabled for itself is nothing to wake up for.
        self.supervisor.put_out_of_use();
        csr::wait();
        // A timer that has served its purpose is parked again.
        if csr::pending() & csr::TIMER != 0 {
            clint::set_timer(self.id, u64::MAX);
        }
    }

    fn external(&mut self) -> Option<External> {
        while csr::pending() & csr::EXTERNAL != 0 {
            let source = plic::claim()?;
            let external = match source {
                console::IRQ => Some(External::Console),
                _ if pci::interrupts(source) => Some(External::Passed(source)),
                _ if iommu::interrupted(source) => None,
                _ => virtio::interrupted(source),
            };
            if !matches!(external, Some(External::Passed(_))) {
                plic::complete(source);
            }
            if external.is_some() {
                return external;
            }
        }
        let blocked = || iommu::fault().map(|(fault, last)| External::Blocked(fault, last));
        virtio::wants_stop().then_some(External::Stop).or_else(blocked)
    }

    fn complete(&self, source: u32) {
        plic::complete(source);
    }

    fn read_console(&mut self) -> Option<u8> {
        console::read()
    }

    fn write_console(&self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn write_log(&self, text: &str) {
        virtio::write_log(text);
    }

    fn exit(&self, status: u16) -> ! {
        super::power::off(status)
    }
}
