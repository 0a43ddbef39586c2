//! The monitor: what the person at the terminal can do to guests while they
//! run. `keys` says what a key means; here it is done.

mod keys;

use alloc::format;
use alloc::string::String;

pub(super) use keys::Keys;

use super::guest::{Guest, Power};
use super::{Host, Machine, report};
use keys::Command;

use crate::addr::PAGE_SIZE;
use crate::spare::Summary;

impl Machine {
    /// A byte was typed on the terminal.
    pub(super) fn typed<H: Host>(&self, host: &H, byte: u8) {
        let command = self.console.keys.lock().take(byte);
        let focus = self.guests.get(self.console.focus());
        match (command, focus) {
            (Some(Command::Type(byte)), Some(guest)) => guest.type_in(host, byte),
            (Some(command), Some(guest)) => {
                let text = self.perform(host, command, guest);
                self.console.message(host, &text);
            }
            _ => {}
        }
    }

    /// Does what a key asks for; tells what there is to say.
    fn perform<H: Host>(&self, host: &H, command: Command, guest: &Guest) -> String {
        let name = &guest.name;
        match command {
            Command::Next => self.focus_on(self.next_running()),
            Command::Focus(number) => self.focus_on(Some(number)),
            Command::List => self.list(),
            Command::Exits => report::text(guest),
            Command::Help => self.console.keys.lock().help(),
            Command::Pause | Command::Reset | Command::Off | Command::Shrink | Command::Grow
                if guest.power() != Power::On =>
            {
                format!("{name} is off\n")
            }
            Command::Pause if guest.is_paused() => {
                guest.resume(host);
                format!("{name} goes on\n")
            }
            Command::Pause => {
                guest.pause(host);
                format!("{name} is paused; its clock goes on\n")
            }
            Command::Shrink => resize(host, guest, |eighths| eighths + 1),
            Command::Grow => resize(host, guest, |eighths| eighths.saturating_sub(1)),
            Command::Reset => {
                guest.end(host, Power::Reset, 0);
                format!("{name} is reset\n")
            }
            Command::Off => {
                guest.end(host, Power::Off, 0);
                format!("{name} is powered off\n")
            }
            Command::Type(_) | Command::Unknown => {
                format!("not a key of the monitor; {} ? lists them\n", self.escape_key())
            }
        }
    }

    fn escape_key(&self) -> String {
        self.console.keys.lock().name()
    }

    /// The next guest after the one in focus that is on.
    fn next_running(&self) -> Option<usize> {
        let focus = self.console.focus();
        let is_on = |n: &usize| self.guests.get(*n).is_some_and(|g| g.power() != Power::Off);
        (focus + 1..self.guests.len()).chain(0..=focus).find(is_on)
    }

    fn focus_on(&self, number: Option<usize>) -> String {
        match number.and_then(|number| self.guests.get(number).map(|guest| (number, guest))) {
            Some((number, guest)) => {
                self.console.set_focus(number);
                format!("you type to {}{}\n", guest.name, remark(guest))
            }
            None => format!("there are guests 1 to {}\n", self.guests.len()),
        }
    }

    /// A guest has ended and others go on: whoever typed to it types to the
    /// next one.
    pub(super) fn move_focus<H: Host>(&self, host: &H) {
        let focus = self.guests.get(self.console.focus());
        if focus.is_some_and(|guest| guest.power() == Power::Off)
            && let Some(next) = self.next_running()
        {
            let text = self.focus_on(Some(next));
            self.console.message(host, &text);
        }
    }

    fn list(&self) -> String {
        let mut text = String::from("   guest            state    vCPUs   memory          exits\n");
        for (n, guest) in self.guests.iter().enumerate() {
            let mark = if n == self.console.focus() { '*' } else { ' ' };
            text.push_str(&format!(
                "{mark}{} {:<16} {:<8} {:>5} {:>4} MiB {:>14}\n",
                n + 1,
                guest.name,
                state(guest),
                guest.links.len(),
                guest.ram.len() >> 20,
                guest.stats().exits(),
            ));
            if guest.ram.absent() != 0 {
                text.push_str(&format!("     gave back {} MiB\n", guest.ram.absent() >> 20));
            }
        }
        let Summary { pages, used, hits } = self.spare.summary();
        if pages != 0 {
            let [pages, used] = [pages, used].map(|n| n as u64 * PAGE_SIZE / 1024);
            text.push_str(&format!(
                "spare: {pages} KiB, {used} of them hold what was read from disks; found: {hits}\n"
            ));
        }
        text
    }
}

/// Changes how many eighths of its memory a guest is asked for.
fn resize<H: Host>(host: &H, guest: &Guest, change: impl FnOnce(u64) -> u64) -> String {
    let (name, all) = (&guest.name, guest.ram.len());
    let Some(wanted) = guest.balloon.as_ref().map(|(ledger, _)| ledger.wanted()) else {
        return format!("{name} has no balloon: --balloon 0\n");
    };
    let bytes = change(wanted * 8 / all).min(7) * (all / 8);
    guest.ask_for(host, bytes);
    format!("{name} is asked for {} of its {} MiB\n", bytes >> 20, all >> 20)
}

fn state(guest: &Guest) -> &'static str {
    match guest.power() {
        Power::Off => "off",
        Power::Reset => "resets",
        Power::On if guest.is_paused() => "paused",
        Power::On => "runs",
    }
}

fn remark(guest: &Guest) -> &'static str {
    match state(guest) {
        "off" => ", which is off",
        "paused" => ", which is paused",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Board, FakeHost, WFI, machine};
    use super::*;
    use crate::bundle::Boot;
    use crate::bus::{Region, Width};

    fn monitor() -> (&'static Machine, FakeHost) {
        let (machine, board) = (machine(&[1, 2], Boot::Machine, 1), Board::new(1));
        (machine, FakeHost::new(0, &board, |_| WFI))
    }

    /// What the monitor says to a key.
    fn key(machine: &Machine, host: &FakeHost, key: u8) -> String {
        host.shown.lock().clear();
        machine.typed(host, 0x1d);
        machine.typed(host, key);
        String::from_utf8(host.shown.lock().clone()).unwrap()
    }

    #[test]
    fn the_focus_moves_and_typing_follows() {
        let (machine, host) = monitor();
        assert_eq!(key(machine, &host, b'n'), "[trapeze] you type to g1\r\n");
        machine.typed(&host, b'x');
        assert_eq!([0, 1].map(|n| uart_has(machine, n)), [false, true]);
        assert_eq!(key(machine, &host, b'1'), "[trapeze] you type to g0\r\n");
        assert_eq!(key(machine, &host, b'5'), "[trapeze] there are guests 1 to 2\r\n");
        assert_eq!(machine.console.focus(), 0);
        let unknown = "[trapeze] not a key of the monitor; Ctrl-] ? lists them\r\n";
        assert_eq!(key(machine, &host, b'#'), unknown);
    }

    /// Whether the UART of guest `n` holds a typed byte.
    fn uart_has(machine: &Machine, n: usize) -> bool {
        const LINE_STATUS: u64 = 5;
        let mut devices = machine.guests[n].devices.lock();
        devices.read(Region::Uart, LINE_STATUS, Width::Byte).unwrap() & 1 != 0
    }

    #[test]
    fn guests_are_listed_with_their_state() {
        let (machine, host) = monitor();
        key(machine, &host, b'p');
        let list = key(machine, &host, b'l');
        let lines: Vec<&str> = list.lines().collect();
        assert!(lines[1].starts_with("[trapeze] *1 g0               paused       1    6 MiB"));
        assert!(lines[2].starts_with("[trapeze]  2 g1               runs         2    6 MiB"));
        assert!(key(machine, &host, b'e').contains("g0: 0 exits"));
        assert!(key(machine, &host, b'?').contains("after Ctrl-]:"));
    }

    #[test]
    fn a_guest_that_is_off_stays_off() {
        let (machine, host) = monitor();
        assert_eq!(key(machine, &host, b'o'), "[trapeze] g0 is powered off\r\n");
        for again in [b'o', b'p', b'r'] {
            assert_eq!(key(machine, &host, again), "[trapeze] g0 is off\r\n");
        }
        machine.move_focus(&host);
        assert_eq!(machine.console.focus(), 1);
        assert_eq!(key(machine, &host, b'1'), "[trapeze] you type to g0, which is off\r\n");
    }
}
