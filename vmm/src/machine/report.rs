//! The report at the end: exits by cause, for people and for tools.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::guest::Guest;
use super::lock::Waiting;
use super::{Host, Machine};
use crate::stats::{Kind, Stats};

/// CSRs that get a line of their own.
const TOP: usize = 10;

/// Writes to the terminal, with the line ends that it wants.
struct Terminal<'a, H>(&'a H);

impl<H: Host> Write for Terminal<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\r\n"));
            self.0.write_console(line.as_bytes());
            self.0.write_console(end.as_bytes());
        }
        Ok(())
    }
}

/// Writes the report on all guests.
pub(super) fn write<H: Host>(machine: &Machine, host: &H) {
    for guest in &machine.guests {
        let _ = table(&mut Terminal(host), guest);
    }
    if machine.wants_stats {
        host.write_log(&json(machine));
    }
}

/// Rows by falling count, the rarer CSRs summed up.
fn rows(stats: &Stats) -> Vec<(String, u64)> {
    let mut rows: Vec<(Kind, u64)> = stats.rows().collect();
    rows.sort_by_key(|(_, count)| core::cmp::Reverse(*count));
    let (mut csrs, mut rest) = (0, 0);
    let mut named = Vec::new();
    for (kind, count) in rows {
        let is_csr = matches!(kind, Kind::Csr(_));
        csrs += usize::from(is_csr);
        if is_csr && csrs > TOP {
            rest += count;
        } else {
            named.push((alloc::format!("{kind}"), count));
        }
    }
    if rest != 0 {
        named.push((String::from("csr, others"), rest));
    }
    named
}

/// The same on one guest, while it runs.
pub(super) fn text(guest: &Guest) -> String {
    let mut text = String::new();
    let _ = table(&mut text, guest);
    String::from(text.trim_start())
}

fn table(out: &mut impl Write, guest: &Guest) -> fmt::Result {
    let stats = guest.stats();
    writeln!(out, "\n{}: {} exits", guest.name, stats.exits())?;
    for (name, count) in rows(&stats) {
        writeln!(out, "  {name:<24} {count:>12}")?;
    }
    Ok(())
}

/// One line of JSON: `{"report":"stats","guests":[{"name":…,"status":…,
/// "exits":…,"causes":{…},"locks":{…}}]}`, the causes not summed up.
fn json(machine: &Machine) -> String {
    let mut out = String::from("{\"report\":\"stats\",\"guests\":[");
    for (n, guest) in machine.guests.iter().enumerate() {
        let separator = if n == 0 { "" } else { "," };
        let _ = write!(out, "{separator}{}", JsonGuest(guest));
    }
    out.push_str("]}\n");
    out
}

struct JsonGuest<'a>(&'a Guest);

impl fmt::Display for JsonGuest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.0.stats();
        let (status, exits) = (self.0.exit_status(), stats.exits());
        f.write_str("{\"name\":")?;
        quoted(f, &self.0.name)?;
        write!(f, ",\"status\":{status},\"exits\":{exits},\"causes\":{{")?;
        for (n, (kind, count)) in stats.rows().enumerate() {
            let separator = if n == 0 { "" } else { "," };
            write!(f, "{separator}\"{kind}\":{count}")?;
        }
        let lock = |name, Waiting { waits, turns, misses }| {
            alloc::format!("\"{name}\":{{\"waits\":{waits},\"turns\":{turns},\"misses\":{misses}}}")
        };
        let shadow = lock("shadow", self.0.shadow.waiting());
        let devices = lock("devices", self.0.devices.waiting());
        write!(f, "}},\"locks\":{{{shadow},{devices}}}}}")
    }
}

/// A JSON string (RFC 8259, section 7).
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Did;
    use crate::vcpu::CsrId;

    #[test]
    fn rare_csrs_are_summed_up() {
        let stats = Stats::default();
        for (n, id) in CsrId::ALL.iter().skip(1).take(TOP + 2).enumerate() {
            (0..=n).for_each(|_| stats.count(Did::Csr(*id)));
        }
        let rows = rows(&stats);
        assert_eq!(rows.len(), TOP + 1);
        assert_eq!(rows.last(), Some(&(String::from("csr, others"), 1 + 2)));
    }
}
