//! The Sail model: how our state is put into it, and compared with it.

use softcore_rv64::prelude::bv;
use softcore_rv64::raw::{self, Core, Privilege, ast, csrop, regidx};
use softcore_rv64::{Trap, config, new_core};

use crate::vcpu::csr::DELEGABLE_EXCEPTIONS;
use crate::vcpu::interrupts::SUPERVISOR_INTERRUPTS;
use crate::vcpu::testing::Still;
use crate::vcpu::{Exception, Interrupt, Mode, Vcpu, status};

pub(super) struct Model {
    core: Core,
}

fn privilege(mode: Mode) -> Privilege {
    match mode {
        Mode::User => Privilege::User,
        Mode::Supervisor => Privilege::Supervisor,
        Mode::Machine => Privilege::Machine,
    }
}

impl Model {
    /// A SiFive U74 with what we have beyond it, and without what we lack.
    pub(super) fn new() -> Self {
        let mut machine = config::U74;
        machine.extensions.B.supported = false;
        machine.extensions.Zba.supported = false;
        machine.extensions.Zbb.supported = false;
        machine.extensions.Sstc.supported = true;
        machine.extensions.Zihpm.supported = true;
        let mut core = new_core(machine);
        core.reset();
        Self { core }
    }

    /// Puts the state of `hart` into the model; PMP only if told, as it is
    /// large and seldom matters.
    pub(super) fn load(&mut self, hart: &Vcpu, clocks: &Still, pmp: bool) {
        let (core, csr) = (&mut self.core, &hart.csr);
        for (number, value) in (0..).zip(hart.ctx.x).skip(1) {
            core.set(regidx::new(number), value);
        }
        core.PC = bv(hart.ctx.pc);
        core.nextPC = bv(hart.ctx.pc.wrapping_add(4));
        core.cur_privilege = privilege(hart.mode);
        core.mstatus.bits = bv(csr.mstatus);
        core.stvec.bits = bv(csr.stvec);
        core.sscratch = bv(csr.sscratch);
        core.sepc = bv(csr.sepc);
        core.scause.bits = bv(csr.scause);
        core.stval = bv(csr.stval);
        core.satp = bv(csr.satp);
        core.mie.bits = bv(csr.mie);
        core.mip.bits = bv(csr.mip());
        core.mideleg.bits = bv(csr.mideleg);
        core.medeleg.bits = bv(csr.medeleg);
        core.mtvec.bits = bv(csr.mtvec);
        core.mscratch = bv(csr.mscratch);
        core.mepc = bv(csr.mepc);
        core.mcause.bits = bv(csr.mcause);
        core.mtval = bv(csr.mtval);
        core.menvcfg.bits = bv(csr.menvcfg);
        core.senvcfg.bits = bv(csr.senvcfg);
        core.stimecmp = bv(csr.stimecmp);
        core.mhartid = bv(csr.mhartid);
        core.mcounteren.bits = bv(csr.counters.machine_enable().into());
        core.scounteren.bits = bv(csr.counters.supervisor_enable().into());
        core.mcountinhibit.bits = bv(csr.counters.inhibit().into());
        core.mcycle = bv(csr.counters.cycle.read(clocks.cycle));
        core.minstret = bv(csr.counters.instret.read(clocks.instret));
        core.mtime = bv(clocks.time);
        if pmp {
            for entry in 0..16 {
                core.pmpcfg_n[entry].bits = bv(csr.pmp.config[entry].into());
                core.pmpaddr_n[entry] = bv(csr.pmp.address[entry]);
            }
        }
    }

    /// Undoes what the model does and our hart, as it may, does not.
    pub(super) fn normalise(&mut self) {
        let core = &mut self.core;
        // VS is writable in the model though the vector extension is not
        // there; ours is read-only zero, and SD does not include it.
        let fs_only = core.mstatus.bits.bits() & !(3 << 9);
        core.mstatus.bits = bv(status::with_sd(fs_only));
        // Delegation of what does not exist is kept by the model; ours has
        // these bits read-only zero.
        core.medeleg.bits = bv(core.medeleg.bits.bits() & DELEGABLE_EXCEPTIONS);
        core.mideleg.bits = bv(core.mideleg.bits.bits() & SUPERVISOR_INTERRUPTS);
    }

    /// Checks that all visible state is the same. `ignore` are bits of `mip`
    /// that are not compared.
    pub(super) fn compare(&mut self, hart: &Vcpu, clocks: &Still, pmp: bool, ignore: u64) {
        let (core, csr) = (&mut self.core, &hart.csr);
        for (number, value) in (0..).zip(hart.ctx.x) {
            assert_eq!(value, core.get(regidx::new(number)), "x{number}");
        }
        assert_eq!(privilege(hart.mode), core.cur_privilege, "mode");
        let registers = [
            ("pc", hart.ctx.pc, core.nextPC.bits()),
            ("mstatus", csr.mstatus, core.mstatus.bits.bits()),
            ("stvec", csr.stvec, core.stvec.bits.bits()),
            ("sscratch", csr.sscratch, core.sscratch.bits()),
            ("sepc", csr.sepc, core.sepc.bits()),
            ("scause", csr.scause, core.scause.bits.bits()),
            ("stval", csr.stval, core.stval.bits()),
            ("satp", csr.satp, core.satp.bits()),
            ("mie", csr.mie, core.mie.bits.bits()),
            ("mip", csr.mip() & !ignore, core.mip.bits.bits() & !ignore),
            ("mideleg", csr.mideleg, core.mideleg.bits.bits()),
            ("medeleg", csr.medeleg, core.medeleg.bits.bits()),
            ("mtvec", csr.mtvec, core.mtvec.bits.bits()),
            ("mscratch", csr.mscratch, core.mscratch.bits()),
            ("mepc", csr.mepc, core.mepc.bits()),
            ("mcause", csr.mcause, core.mcause.bits.bits()),
            ("mtval", csr.mtval, core.mtval.bits()),
            ("menvcfg", csr.menvcfg, core.menvcfg.bits.bits()),
            ("senvcfg", csr.senvcfg, core.senvcfg.bits.bits()),
            ("stimecmp", csr.stimecmp, core.stimecmp.bits()),
            ("mcounteren", csr.counters.machine_enable().into(), core.mcounteren.bits.bits()),
            ("scounteren", csr.counters.supervisor_enable().into(), core.scounteren.bits.bits()),
            ("mcountinhibit", csr.counters.inhibit().into(), core.mcountinhibit.bits.bits()),
            ("mcycle", csr.counters.cycle.read(clocks.cycle), core.mcycle.bits()),
            ("minstret", csr.counters.instret.read(clocks.instret), core.minstret.bits()),
        ];
        for (name, ours, model) in registers {
            assert_eq!(ours, model, "{name}: {ours:#x}, but the model has {model:#x}");
        }
        if pmp {
            for entry in 0..16 {
                let model = (core.pmpcfg_n[entry].bits.bits(), core.pmpaddr_n[entry].bits());
                let ours = (csr.pmp.config[entry].into(), csr.pmp.address[entry]);
                assert_eq!(ours, model, "PMP entry {entry}");
            }
        }
    }

    /// Executes an instruction in the model; traps are taken.
    pub(super) fn execute(&mut self, instruction: ast) -> Trap {
        self.core.execute(instruction)
    }

    /// Whether the model knows a SYSTEM instruction with this encoding.
    pub(super) fn decodes(&mut self, inst: u32) -> bool {
        !matches!(self.core.decode_instr(inst), ast::ILLEGAL(_))
    }

    pub(super) fn inject(&mut self, exception: Exception) {
        let core = &mut self.core;
        let code = exception.cause.code();
        let from = core.cur_privilege;
        let to = raw::exception_delegatee(core, exception_type(code), from);
        let info = Some(bv(exception.tval));
        let pc = raw::trap_handler(core, to, false, bv(code), core.PC, info, None);
        raw::set_next_pc(core, pc);
    }

    /// Code of the interrupt that the model would take.
    pub(super) fn pending(&mut self) -> Option<u64> {
        let mode = self.core.cur_privilege;
        let (interrupt, _) = raw::dispatchInterrupt(&mut self.core, mode)?;
        Some(raw::interruptType_to_bits(interrupt).bits())
    }

    pub(super) fn dispatch_interrupt(&mut self) {
        self.core.dispatch_interrupt();
    }

    /// What PMP lets `mode` do with eight bytes: bits as in `pmpcfg`.
    pub(super) fn permission(&mut self, address: u64, mode: Mode) -> u8 {
        self.core.set_mode(privilege(mode));
        let read = raw::AccessType::Read(());
        let write = raw::AccessType::Write(());
        let fetch = raw::AccessType::InstructionFetch(());
        [(read, 1), (write, 2), (fetch, 4)]
            .into_iter()
            .filter(|(access, _)| self.core.pmp_check(address, *access).is_none())
            .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// A register as the model names it.
pub(super) fn register(number: u32) -> regidx {
    regidx::Regidx(bv(number.into()))
}

/// A CSR instruction as the model has it, from its fields.
pub(super) fn csr_instruction(csr: u32, funct3: u32, source: u32, rd: u32) -> ast {
    let op = match funct3 & 3 {
        1 => csrop::CSRRW,
        2 => csrop::CSRRS,
        _ => csrop::CSRRC,
    };
    let (csr, rd) = (bv(csr.into()), register(rd));
    if funct3 & 4 == 0 {
        ast::CSRReg((csr, register(source), rd, op))
    } else {
        ast::CSRImm((csr, bv(source.into()), rd, op))
    }
}

fn exception_type(code: u64) -> raw::ExceptionType {
    use raw::ExceptionType as E;
    match code {
        0 => E::E_Fetch_Addr_Align(()),
        1 => E::E_Fetch_Access_Fault(()),
        2 => E::E_Illegal_Instr(()),
        3 => E::E_Breakpoint(()),
        4 => E::E_Load_Addr_Align(()),
        5 => E::E_Load_Access_Fault(()),
        6 => E::E_SAMO_Addr_Align(()),
        7 => E::E_SAMO_Access_Fault(()),
        8 => E::E_U_EnvCall(()),
        9 => E::E_S_EnvCall(()),
        11 => E::E_M_EnvCall(()),
        12 => E::E_Fetch_Page_Fault(()),
        13 => E::E_Load_Page_Fault(()),
        15 => E::E_SAMO_Page_Fault(()),
        _ => panic!("no such exception: {code}"),
    }
}

/// The interrupt's code, as the model names it.
pub(super) fn code(interrupt: Option<Interrupt>) -> Option<u64> {
    interrupt.map(Interrupt::code)
}
