//! The commands.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Command, Outcome, bench, words};
use crate::files::Files;
use crate::kernel::Kernel;
use crate::net::Network;
use crate::power::{self, Reason};
use crate::text::{Bytes, Fletcher, microseconds};
use crate::{hart, heap, print, println};

/// Bytes of a page that are shown.
const SHOWN: usize = 4096;

/// All commands, in the order of `help`.
pub(super) const ALL: [Command; 14] = [
    Command { name: "help", arguments: "", help: "this list", run: help },
    Command { name: "info", arguments: "", help: "what this machine is and has", run: info },
    Command {
        name: "exits",
        arguments: "",
        help: "exits to the VMM since this was last asked, by cause",
        run: exits,
    },
    Command { name: "ls", arguments: "", help: "list files", run: list },
    Command { name: "cat", arguments: "FILE", help: "show a file", run: cat },
    Command { name: "write", arguments: "FILE TEXT...", help: "make a file", run: write },
    Command { name: "rm", arguments: "FILE", help: "remove a file", run: remove },
    Command {
        name: "bench",
        arguments: "disk",
        help: "reads per second, exits per read",
        run: bench::run,
    },
    Command { name: "ping", arguments: "HOST", help: "whether it is there", run: ping },
    Command {
        name: "fetch",
        arguments: "HOST[:PORT]/PATH",
        help: "show a page, by HTTP",
        run: fetch,
    },
    Command { name: "time", arguments: "", help: "time since the machine began", run: time },
    Command { name: "panic", arguments: "", help: "let the kernel fail", run: panic },
    Command { name: "reboot", arguments: "", help: "start again", run: reboot },
    Command { name: "poweroff", arguments: "", help: "end the machine", run: poweroff },
];

fn help(_: &mut Kernel, _: &str) -> Outcome {
    for Command { name, arguments, help, .. } in &ALL {
        println!("  {:24} {help}", format!("{name} {arguments}"));
    }
    println!("Keys: Ctrl-C, Ctrl-U, backspace, up and down for the history.");
    Ok(())
}

fn info(kernel: &mut Kernel, _: &str) -> Outcome {
    let (start, end) = kernel.machine.memory;
    let (used, heap) = (heap::used() as u64, kernel.heap as u64);
    println!("  {:8} {}", "kernel", kernel.nature());
    println!("  {:8} {} of {}", "hart", kernel.start.hart, kernel.machine.harts);
    println!("  {:8} {} at {start:#x}", "memory", Bytes((end - start) as u64));
    println!("  {:8} {} used of {}", "heap", Bytes(used), Bytes(heap));
    for (device, how) in kernel.devices() {
        println!("  {device:8} {how}");
    }
    println!("  {:8} {:?}", "bootargs", kernel.machine.bootargs);
    if let Some(counters) = kernel.counters {
        let all = counters.read().since(&Default::default());
        let exits: u64 = all.iter().map(|(_, count)| count).sum();
        println!("  {:8} {exits} since the machine began", "exits");
    }
    Ok(())
}

fn exits(kernel: &mut Kernel, _: &str) -> Outcome {
    let counters =
        kernel.counters.ok_or("only a VMM counts exits, and this is the bare machine")?;
    let now = counters.read();
    for (name, count) in now.since(&kernel.shown) {
        println!("  {count:>10}  {name}");
    }
    kernel.shown = now;
    Ok(())
}

fn files(kernel: &Kernel) -> Result<&Files, String> {
    kernel.files.as_ref().ok_or_else(|| "there is no disk".to_string())
}

fn list(kernel: &mut Kernel, _: &str) -> Outcome {
    for entry in files(kernel)?.list()? {
        println!("  {:>10}  {}", entry.size, entry.name);
    }
    Ok(())
}

fn cat(kernel: &mut Kernel, arguments: &str) -> Outcome {
    let [name] = words(arguments).ok_or("which file?")?;
    let mut last = b'\n';
    files(kernel)?.read(name, |bytes| {
        print!("{}", String::from_utf8_lossy(bytes));
        last = bytes.last().copied().unwrap_or(last);
    })?;
    if last != b'\n' {
        println!();
    }
    Ok(())
}

fn write(kernel: &mut Kernel, arguments: &str) -> Outcome {
    let (name, text) = arguments.split_once(' ').ok_or("which file, and what?")?;
    files(kernel)?.write(name, format!("{}\n", text.trim()).as_bytes())
}

fn remove(kernel: &mut Kernel, arguments: &str) -> Outcome {
    let [name] = words(arguments).ok_or("which file?")?;
    files(kernel)?.remove(name)
}

fn network(kernel: &mut Kernel) -> Result<&mut Network, String> {
    kernel.network.as_mut().ok_or_else(|| "there is no network: try --net user".to_string())
}

fn ping(kernel: &mut Kernel, arguments: &str) -> Outcome {
    let [host] = words(arguments).ok_or("whom?")?;
    network(kernel)?.ping(host)
}

fn fetch(kernel: &mut Kernel, arguments: &str) -> Outcome {
    let [what] = words(arguments).ok_or("what? such as 10.0.2.2:8000/page.html")?;
    let (mut room, mut sum) = (SHOWN, Fletcher::default());
    network(kernel)?.fetch(what, |bytes| {
        sum.add(bytes);
        // What is no text would do strange things to the terminal.
        room = if bytes.contains(&0) { 0 } else { room };
        let shown = room.min(bytes.len());
        print!("{}", String::from_utf8_lossy(&bytes[..shown]));
        room -= shown;
    })?;
    println!("check sum {:08x}", sum.value());
    Ok(())
}

fn time(kernel: &mut Kernel, _: &str) -> Outcome {
    let time = microseconds(hart::time(), kernel.machine.frequency);
    println!("  {}.{:06} s", time / 1_000_000, time % 1_000_000);
    Ok(())
}

fn panic(_: &mut Kernel, _: &str) -> Outcome {
    panic!("as you wished")
}

fn reboot(_: &mut Kernel, _: &str) -> Outcome {
    power::off(Reason::Reboot)
}

fn poweroff(_: &mut Kernel, _: &str) -> Outcome {
    println!("Bye.");
    power::off(Reason::Done)
}
