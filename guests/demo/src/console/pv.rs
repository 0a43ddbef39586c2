//! The paravirtual console: an exit for a text, however long it is, and none
//! for a key that has come.

use guest_drivers::{Console, ConsoleStorage, Device, Interrupts, Linear, Once};

static STORAGE: Once<ConsoleStorage> = Once::new(ConsoleStorage::new());

pub(super) struct Port(Console<Linear>);

impl Port {
    /// Takes the device into service; the first one only.
    pub(super) fn new(device: Device<Linear>) -> Option<Self> {
        let mut console = Console::new(device, STORAGE.take()?).ok()?;
        console.set_interrupts(Interrupts::After(1));
        Some(Self(console))
    }
}

impl super::Port for Port {
    fn write(&mut self, bytes: &[u8]) {
        // There is nobody to tell if it does not work.
        let _ = self.0.write(bytes);
    }

    fn read(&mut self) -> Option<u8> {
        let mut key = [0];
        (self.0.read(&mut key) == 1).then_some(key[0])
    }
}
