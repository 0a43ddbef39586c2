//! What is measured, what it should cost, and what it cost others.

/// One operation of the probe `cost`.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in the probe.
    pub name: &'static str,
    /// What a guest does, loop included.
    pub what: &'static str,
    /// Instructions that a guest may need, at most.
    pub target: Option<f64>,
    /// The same in assisted mode, where that has a target of its own.
    pub assisted: Option<f64>,
    /// Instructions that a guest of RVirt needs (same QEMU, its own stub in
    /// M-mode). For the fence it is a lower bound: one page of the 64 is
    /// touched again there.
    pub rvirt: Option<f64>,
}

/// All operations, in the order of the report.
pub const OPERATIONS: [Operation; 16] = [
    Operation {
        target: None,
        ..operation("null-hypercall", "hypercall that does nothing", 0.0, None)
    },
    operation("csrr", "read a CSR", 150.0, Some(349.0)),
    operation("sie-pair", "close and open interrupts", 320.0, Some(900.0)).assisted(6.0),
    operation("timer-m", "timer interrupt in vM, by the CLINT", 1200.0, Some(2731.0)),
    operation("timer-s", "timer interrupt in vS, by Sstc", 1200.0, Some(2731.0)),
    operation("first-touch", "first touch of a page: shadow fill", 400.0, Some(819.0))
        .assisted(300.0),
    operation("fence-touch-64", "sfence.vma, then 64 warm pages", 3000.0, Some(60184.0)),
    operation("switch", "satp to a warm root, sfence.vma", 1500.0, Some(120_447.0)).assisted(700.0),
    Operation {
        target: None,
        ..operation("switch-touch-64", "the same, then 64 warm pages", 0.0, None).assisted(1000.0)
    },
    operation("page-fault", "page fault to the guest's handler", 650.0, Some(1470.0))
        .assisted(450.0),
    operation("syscall", "system call, nine CSR accesses", 1700.0, Some(4032.0)).assisted(80.0),
    operation("sum-window", "open SUM, load, close SUM", 400.0, Some(832.0)),
    operation("uart-lsr", "read a register of the UART", 400.0, Some(841.0)),
    operation("plic-claim", "claim at the PLIC, nothing pending", 450.0, Some(983.0)),
    operation("sie-pair-page", "close and open interrupts, CPU page", 10.0, Some(900.0)),
    operation("syscall-page", "the same system call, CPU page", 900.0, Some(4032.0)),
];

const fn operation(
    name: &'static str,
    what: &'static str,
    target: f64,
    rvirt: Option<f64>,
) -> Operation {
    Operation { name, what, target: Some(target), assisted: None, rvirt }
}

impl Operation {
    const fn assisted(self, target: f64) -> Self {
        Self { assisted: Some(target), ..self }
    }
}

/// The operation that has this name.
pub fn find(name: &str) -> Option<Operation> {
    OPERATIONS.into_iter().find(|operation| operation.name == name)
}

/// The names of all, for messages.
pub fn names() -> String {
    OPERATIONS.map(|operation| operation.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_targets_are_below_those_of_others() {
        for operation in OPERATIONS {
            let same = OPERATIONS.iter().filter(|other| other.name == operation.name);
            assert_eq!(same.count(), 1, "{}", operation.name);
            let below = operation.target.zip(operation.rvirt).is_none_or(|(t, r)| t < r);
            assert!(below, "{}", operation.name);
        }
        assert!(names().starts_with("null-hypercall, csrr, sie-pair"));
        assert!(find("csrr").is_some() && find("csrw").is_none());
    }
}
