//! Names of the calls, for traces and statistics.

use sbi_spec::{base, dbcn, hsm, legacy as old, rfnc, spi, srst, time};

use super::word;

/// What extension and function are called: `TIME.set_timer`. Functions that
/// an extension of ours does not have share the name `TIME.?`, all other
/// extensions are `?`.
pub fn name(eid: u64, fid: u64) -> &'static str {
    match (word(eid), word(fid)) {
        (base::EID_BASE, fid) => base_name(fid),
        (time::EID_TIME, time::SET_TIMER) => "TIME.set_timer",
        (time::EID_TIME, _) => "TIME.?",
        (spi::EID_SPI, spi::SEND_IPI) => "IPI.send_ipi",
        (spi::EID_SPI, _) => "IPI.?",
        (rfnc::EID_RFNC, fid) => fence_name(fid),
        (hsm::EID_HSM, fid) => hart_name(fid),
        (srst::EID_SRST, srst::SYSTEM_RESET) => "SRST.system_reset",
        (srst::EID_SRST, _) => "SRST.?",
        (dbcn::EID_DBCN, dbcn::CONSOLE_WRITE) => "DBCN.console_write",
        (dbcn::EID_DBCN, dbcn::CONSOLE_READ) => "DBCN.console_read",
        (dbcn::EID_DBCN, dbcn::CONSOLE_WRITE_BYTE) => "DBCN.console_write_byte",
        (dbcn::EID_DBCN, _) => "DBCN.?",
        (eid, _) => legacy_name(eid),
    }
}

const fn base_name(fid: usize) -> &'static str {
    match fid {
        base::GET_SBI_SPEC_VERSION => "BASE.get_spec_version",
        base::GET_SBI_IMPL_ID => "BASE.get_impl_id",
        base::GET_SBI_IMPL_VERSION => "BASE.get_impl_version",
        base::PROBE_EXTENSION => "BASE.probe_extension",
        base::GET_MVENDORID => "BASE.get_mvendorid",
        base::GET_MARCHID => "BASE.get_marchid",
        base::GET_MIMPID => "BASE.get_mimpid",
        _ => "BASE.?",
    }
}

const fn fence_name(fid: usize) -> &'static str {
    match fid {
        rfnc::REMOTE_FENCE_I => "RFENCE.remote_fence_i",
        rfnc::REMOTE_SFENCE_VMA => "RFENCE.remote_sfence_vma",
        rfnc::REMOTE_SFENCE_VMA_ASID => "RFENCE.remote_sfence_vma_asid",
        _ => "RFENCE.?",
    }
}

const fn hart_name(fid: usize) -> &'static str {
    match fid {
        hsm::HART_START => "HSM.hart_start",
        hsm::HART_STOP => "HSM.hart_stop",
        hsm::HART_GET_STATUS => "HSM.hart_get_status",
        hsm::HART_SUSPEND => "HSM.hart_suspend",
        _ => "HSM.?",
    }
}

const fn legacy_name(eid: usize) -> &'static str {
    match eid {
        old::LEGACY_SET_TIMER => "legacy.set_timer",
        old::LEGACY_CONSOLE_PUTCHAR => "legacy.console_putchar",
        old::LEGACY_CONSOLE_GETCHAR => "legacy.console_getchar",
        old::LEGACY_CLEAR_IPI => "legacy.clear_ipi",
        old::LEGACY_SEND_IPI => "legacy.send_ipi",
        old::LEGACY_REMOTE_FENCE_I => "legacy.remote_fence_i",
        old::LEGACY_REMOTE_SFENCE_VMA => "legacy.remote_sfence_vma",
        old::LEGACY_REMOTE_SFENCE_VMA_ASID => "legacy.remote_sfence_vma_asid",
        old::LEGACY_SHUTDOWN => "legacy.shutdown",
        _ => "?",
    }
}
