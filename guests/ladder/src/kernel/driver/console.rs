//! Consoles: a request shows so many bytes, and is done when the device has
//! them.

use guest_drivers::{Console, ConsoleStorage, Device, HypercallTransport, Linear, Once};
use probes::dev::uart;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::Transport;
use virtio_drivers::transport::mmio::MmioTransport;

use super::memory::Memory;
use super::{Op, Target};

/// The queue of what is to be shown (virtio 1.2, section 5.3.2), and its
/// descriptors.
const TRANSMIT: u16 = 1;
const SIZE: usize = 16;

static STORAGE: Once<ConsoleStorage> = Once::new(ConsoleStorage::new());

bitflags::bitflags! {
    /// Features that we use.
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Bytes of the longest request.
const LONGEST: usize = 4096;
/// What is shown.
static TEXT: [u8; LONGEST] = [b'.'; LONGEST];

/// A console by `virtio-drivers`.
pub(crate) struct Virtio<T: Transport> {
    transport: T,
    queue: VirtQueue<Memory, SIZE>,
}

impl<T: Transport> Virtio<T> {
    fn new(mut transport: T) -> Option<Self> {
        transport.begin_init(Features::all());
        let queue = VirtQueue::new(&mut transport, TRANSMIT, false, false).ok()?;
        transport.finish_init();
        Some(Self { transport, queue })
    }

    fn show(&mut self, text: &[u8]) {
        let shown = self.queue.add_notify_wait_pop(&[text], &mut [], &mut self.transport);
        assert!(shown.is_ok(), "a text was not shown");
    }
}

/// The ways to a console.
enum Way {
    /// A byte at a time, each when the UART is ready for it.
    Uart,
    Mmio(Virtio<MmioTransport<'static>>),
    Bridge(Virtio<HypercallTransport>),
    Pv(Console),
}

/// A console, and the request that it has done.
pub(crate) struct Shown {
    way: Way,
    done: Option<usize>,
}

impl Shown {
    pub(crate) fn uart() -> Self {
        Self { way: Way::Uart, done: None }
    }

    pub(crate) fn mmio(transport: MmioTransport<'static>) -> Option<Self> {
        Some(Self { way: Way::Mmio(Virtio::new(transport)?), done: None })
    }

    pub(crate) fn bridge(transport: HypercallTransport) -> Option<Self> {
        Some(Self { way: Way::Bridge(Virtio::new(transport)?), done: None })
    }

    pub(crate) fn pv(device: Device<Linear>) -> Option<Self> {
        let console = Console::new(device, STORAGE.take()?).ok()?;
        Some(Self { way: Way::Pv(console), done: None })
    }
}

impl Target for Shown {
    fn ops(&self) -> &'static [(Op, &'static str)] {
        &[(Op::Write, "show")]
    }

    fn depth(&self) -> usize {
        1
    }

    fn submit(&mut self, slot: usize, _: Op, _: u64, bytes: usize) {
        let text = &TEXT[..bytes.min(LONGEST)];
        match &mut self.way {
            Way::Uart => text.iter().for_each(|byte| uart::put(*byte)),
            Way::Mmio(console) => console.show(text),
            Way::Bridge(console) => console.show(text),
            Way::Pv(console) => assert!(console.write(text).is_ok(), "a text was not shown"),
        }
        self.done = Some(slot);
    }

    fn kick(&mut self) {}

    fn poll(&mut self) -> Option<usize> {
        self.done.take()
    }
}
