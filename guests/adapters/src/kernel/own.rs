//! Our own drivers, when the borrowed ones have let go of the devices: a
//! console as a stream and as a place for records, random bytes as numbers.

use embedded_io::Write;
use guest_drivers::{
    Console, ConsoleStorage, DeviceType, Entropy, EntropyStorage, Linear, LogWriter, Once, Vmm,
};
use log::{LevelFilter, debug, info, warn};
use probes::Probe;
use rand_core::TryRng;

static CONSOLE: Once<ConsoleStorage> = Once::new(ConsoleStorage::new());
static ENTROPY: Once<EntropyStorage> = Once::new(EntropyStorage::new());
static LOG: LogWriter<Console> = LogWriter::new();

pub(super) fn main(p: &mut Probe, vmm: Vmm<Linear>) {
    random(p, vmm);
    console(p, vmm);
}

fn random(p: &mut Probe, vmm: Vmm<Linear>) {
    let source = vmm.find(DeviceType::Entropy).zip(ENTROPY.take());
    let source = source.map(|(device, storage)| Entropy::new(device, storage));
    let Some(Ok(mut source)) = source else { return p.holds("a source of our own", false) };
    let numbers = [source.try_next_u64(), source.try_next_u64()];
    p.holds("numbers that differ", matches!(numbers, [Ok(one), Ok(two)] if one != two));
}

fn console(p: &mut Probe, vmm: Vmm<Linear>) {
    let console = vmm.find(DeviceType::Console).zip(CONSOLE.take());
    let console = console.map(|(device, storage)| Console::new(device, storage));
    let Some(Ok(mut console)) = console else { return p.holds("a console of our own", false) };
    p.holds("written", console.write_all(b"adapters: shown by embedded-io\n").is_ok());
    p.holds("a logger", LOG.start(console, LevelFilter::Info).is_ok());
    info!("shown by {}", "log");
    debug!("not shown");
    warn!("a line that has {} characters, which do not fit at once: {:300}", 300, "");
}
