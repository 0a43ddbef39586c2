//! The loop that serves keys and the network, and waits for either.

use crate::kernel::{Kernel, Start};
use crate::shell::Shell;
use crate::tree::{self, Machine};
use crate::{console, events, heap};

/// The kernel, from its first instruction in Rust on. `tree` is the address
/// of the device tree.
pub(crate) fn main(start: Start, tree: *const u8) -> ! {
    // SAFETY: what the firmware passed on.
    let bytes = unsafe { tree::bytes(tree) };
    let memory = tree::memory(bytes).expect("a device tree that names the memory");
    // The tree is in RAM, too; all behind the kernel, and before the tree, is ours.
    let end = if tree.addr() < memory.1 { tree.addr() } else { memory.1 };
    // SAFETY: there is nobody else.
    let heap = unsafe { heap::init(end) };
    let machine = Machine::new(bytes).expect("a device tree that names harts and devices");
    let mut kernel = Kernel::new(start, machine, bytes, heap);
    let mut shell = Shell::default();
    shell.prompt();
    loop {
        while let Some(key) = console::key() {
            shell.key(key, &mut kernel);
        }
        kernel.serve();
        events::wait();
    }
}
