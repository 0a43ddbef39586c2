//! What there is, and how it is found.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use guest_drivers::{Ecall, Linear, detect};

use crate::counters::{Counters, Reading};
use crate::files::Files;
use crate::net::Network;
use crate::text::Bytes;
use crate::tree::Machine;
use crate::{console, disk, events, power, println};

/// How the first instruction found the machine.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// The hart that this runs on.
    pub(crate) hart: u64,
    /// In M-mode, and not above an SBI.
    pub(crate) in_m: bool,
}

/// All that commands may need.
pub(crate) struct Kernel {
    /// How it was started.
    pub(crate) start: Start,
    /// The machine.
    pub(crate) machine: Machine,
    /// The VMM's counters, if this is a guest.
    pub(crate) counters: Option<Counters>,
    /// The counters when they were last shown.
    pub(crate) shown: Reading,
    /// Bytes that the heap has.
    pub(crate) heap: usize,
    /// Devices, and how they are reached; but the network, whose address may
    /// change.
    devices: Vec<(&'static str, String)>,
    /// The files, if there is a disk.
    pub(crate) files: Option<Files>,
    /// The network, if there is one.
    pub(crate) network: Option<Network>,
}

impl Kernel {
    /// Finds what there is in `tree`, the device tree, with the VMM's help if
    /// there is one, and greets.
    pub(crate) fn new(start: Start, machine: Machine, tree: &[u8], heap: usize) -> Self {
        if let Some(finisher) = machine.finisher {
            power::init(finisher.registers());
        }
        // SAFETY: no address is translated.
        let vmm = detect::by_device_tree(tree, unsafe { Linear::identity() });
        // SAFETY: the VMM has answered.
        let ecall = vmm.and_then(|_| unsafe { Ecall::assume() });
        events::init(vmm, machine.plic.map(|plic| plic.registers()), start.hart);
        let mut devices = Vec::new();
        devices.push(("console", console::init(&machine, vmm).into()));
        let disk = disk::find(&machine, vmm).map(|(disk, how)| {
            devices.push(("disk", format!("{how}, {}", Bytes(512 * disk.sectors()))));
            disk
        });
        let network = Network::find(vmm, &machine);
        let counters = ecall.and_then(Counters::new);
        let files = disk.map(Files::new);
        let shown = Reading::default();
        let kernel = Self { start, machine, counters, shown, heap, devices, files, network };
        kernel.greet();
        kernel
    }

    fn greet(&self) {
        println!();
        println!("Trapeze demo kernel: {}", self.nature());
        for (device, how) in self.devices() {
            println!("  {device:8} {how}");
        }
        println!("Type \"help\" for the commands.");
    }

    /// The devices, and how they are reached.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&'static str, String)> {
        let network = self.network.as_ref().map(|network| ("network", network.describe()));
        self.devices.iter().cloned().chain(network)
    }

    /// Lets the network go on.
    pub(crate) fn serve(&mut self) {
        if let Some(mut network) = self.network.take() {
            let described = network.describe();
            network.poll(&|| self.page(&described));
            self.network = Some(network);
        }
    }

    /// What the web server shows.
    fn page(&self, network: &str) -> String {
        let mut rows = String::new();
        let mut row = |name: &str, value: &str| {
            rows += &format!("<tr><td>{name}<td>{value}\n");
        };
        row("kernel", &self.nature());
        self.devices.iter().for_each(|(device, how)| row(device, how));
        row("network", network);
        if let Some(counters) = self.counters {
            let counted = counters.read().since(&Reading::default());
            counted.iter().for_each(|(cause, count)| row(cause, &count.to_string()));
        }
        format!(
            "<!DOCTYPE html>\n<title>Trapeze demo</title>\n<h1>Trapeze demo kernel</h1>\n\
             <p>A guest says what it is, and how often it went to its VMM, by cause.\n\
             <table>\n{rows}</table>\n"
        )
    }

    /// Where this kernel runs.
    pub(crate) fn nature(&self) -> String {
        let mode = if self.start.in_m { "started in M-mode" } else { "started in S-mode" };
        match self.counters.and_then(Counters::version) {
            Some(version) => format!(
                "virtual, a guest of Trapeze (interface {}.{}), {mode}",
                version.major, version.minor
            ),
            None => format!("native, on the bare machine, {mode}"),
        }
    }
}
