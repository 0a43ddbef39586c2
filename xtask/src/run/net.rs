//! The network of guests: the option, what it means, and what QEMU is told.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use trapeze_vmm::bundle::{MmioVersion, Net as BundleNet, NetModel};
use trapeze_vmm::net::Mac;

use super::guest::Guest;
use super::pass::Passed;
use super::values::from_string;
use crate::failure::{self, mistake};

/// What a guest reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    /// Nothing: it has no network.
    None,
    /// The other guests, and QEMU's user network.
    User,
    /// The other guests.
    Switch,
}

/// `--net user|switch|none[,model=...][,version=1|2][,mac=...][,hostfwd=...]`
#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub struct NetOption {
    reach: Reach,
    pv: bool,
    version: MmioVersion,
    mac: Option<Mac>,
    forwards: Vec<Forward>,
}

/// A port of the host that leads to one of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Forward {
    protocol: &'static str,
    host: u16,
    guest: u16,
}

impl FromStr for NetOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let reach = match parts.next() {
            Some("none") => Reach::None,
            Some("user") => Reach::User,
            Some("switch") => Reach::Switch,
            _ => return Err("it is one of user, switch, none".to_owned()),
        };
        let mut net = Self { reach, ..Self::user() };
        parts.try_for_each(|part| net.set(part))?;
        match net.reach != Reach::User && !net.forwards.is_empty() {
            true => Err("hostfwd needs the network user".to_owned()),
            false => Ok(net),
        }
    }
}

impl NetOption {
    /// `--net user`
    pub fn user() -> Self {
        let (reach, version) = (Reach::User, MmioVersion::Modern);
        Self { reach, pv: false, version, mac: None, forwards: Vec::new() }
    }

    /// `--net switch`
    pub fn switch() -> Self {
        Self { reach: Reach::Switch, ..Self::user() }
    }

    /// The same, with `model=pv`.
    pub fn paravirtual(self) -> Self {
        Self { pv: true, ..self }
    }

    /// The same, with a TCP port of the host that leads to one of the guest.
    pub fn forward(mut self, host: u16, guest: u16) -> Self {
        self.forwards.push(Forward { protocol: "tcp", host, guest });
        self
    }

    fn set(&mut self, part: &str) -> Result<(), String> {
        match part.split_once('=').unwrap_or((part, "")) {
            ("model", "virtio-mmio") => self.pv = false,
            ("model", "pv") => self.pv = true,
            ("model", _) => return Err("model is one of virtio-mmio, pv".to_owned()),
            ("version", "1") => self.version = MmioVersion::Legacy,
            ("version", "2") => self.version = MmioVersion::Modern,
            ("version", _) => return Err("version is 1 (legacy) or 2 (modern)".to_owned()),
            ("mac", text) => {
                let mac = text.parse().map_err(|_| "mac is an address such as 52:54:00:12:34:56");
                self.mac = Some(mac?);
            }
            ("hostfwd", text) => self.forwards.push(text.parse()?),
            _ => {
                return Err(format!(
                    "{part:?} is unknown; there are model=, version=, mac= and hostfwd="
                ));
            }
        }
        Ok(())
    }

    /// The interface of guest `number`, if it is to have one.
    pub(super) fn interface(&self, number: usize) -> Option<Net> {
        let standard = Mac::numbered(u8::try_from(number).unwrap_or(0));
        let model = if self.pv { NetModel::Pv } else { NetModel::VirtioMmio(self.version) };
        let interface = BundleNet {
            model,
            mac: self.mac.unwrap_or(standard),
            uplink: self.reach == Reach::User,
        };
        (self.reach != Reach::None).then(|| Net { interface, forwards: self.forwards.clone() })
    }
}

from_string!(NetOption);

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "hostfwd is tcp:HOSTPORT:GUESTPORT, or udp:...".to_owned();
        let port = |text: Option<&str>| {
            text.and_then(|text| text.parse().ok()).filter(|port| *port != 0).ok_or_else(wrong)
        };
        let mut parts = text.split(':');
        let protocol = match parts.next() {
            Some("tcp") => "tcp",
            Some("udp") => "udp",
            _ => return Err(wrong()),
        };
        let forward = Self { protocol, host: port(parts.next())?, guest: port(parts.next())? };
        if parts.next().is_some() { Err(wrong()) } else { Ok(forward) }
    }
}

impl Forward {
    /// What is appended to QEMU's user network.
    pub(super) fn option(&self, to: &Address) -> String {
        let Self { protocol, host, guest } = self;
        format!(",hostfwd={protocol}:127.0.0.1:{host}-{to}:{guest}")
    }
}

/// The address that guest `number` gets, if it asks for it by DHCP, or sets
/// it by itself.
pub(super) struct Address(pub(super) usize);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "10.0.2.{}", 15 + self.0)
    }
}

/// A network interface, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Net {
    /// What the VMM is told.
    pub(super) interface: BundleNet,
    forwards: Vec<Forward>,
}

impl Net {
    /// Whether it takes one of the guest's virtio-mmio slots.
    pub(super) fn in_slot(&self) -> bool {
        matches!(self.interface.model, NetModel::VirtioMmio(_))
    }

    /// Its register layout on QEMU, which has no paravirtual one.
    pub(super) fn version(&self) -> MmioVersion {
        match self.interface.model {
            NetModel::VirtioMmio(version) => version,
            NetModel::Pv => MmioVersion::Modern,
        }
    }

    /// Options for a native guest with the interface in `slot`. There are no
    /// other guests, so without an uplink nobody is at the other end.
    pub(super) fn native(&self, slot: usize) -> Vec<String> {
        let device =
            format!("virtio-net-device,mac={},bus=virtio-mmio-bus.{slot}", self.interface.mac);
        match self.interface.uplink {
            true => {
                let netdev = user([(0, self)].into_iter());
                ["-netdev", &netdev, "-device", &format!("{device},netdev=net")]
                    .map(str::to_owned)
                    .into()
            }
            false => vec!["-device".to_owned(), device],
        }
    }
}

/// `-netdev` of the machine on which the VMM runs, if it needs one.
pub(super) fn uplink(guests: &[Guest]) -> Option<String> {
    let nets = guests.iter().enumerate().filter_map(|(n, guest)| Some((n, guest.net.as_ref()?)));
    let mut outside = nets.filter(|(_, net)| net.interface.uplink).peekable();
    outside.peek()?;
    Some(user(outside))
}

/// QEMU's user network, with the ports that lead to guests.
fn user<'a>(guests: impl Iterator<Item = (usize, &'a Net)>) -> String {
    let mut netdev = "user,id=net".to_owned();
    for (number, net) in guests {
        for forward in &net.forwards {
            netdev.push_str(&forward.option(&Address(number)));
        }
    }
    netdev
}

/// Refuses addresses and ports that are used twice.
pub(super) fn check(guests: &[Guest]) -> failure::Result<()> {
    let nets: Vec<&Net> = guests.iter().filter_map(|guest| guest.net.as_ref()).collect();
    let mut macs: Vec<Mac> = nets.iter().map(|net| net.interface.mac).collect();
    macs.sort_unstable();
    if let Some(pair) = macs.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(mistake(format!("two guests have the address mac={}", pair[0])));
    }
    let passed = guests.iter().flat_map(|guest| &guest.passed).flat_map(Passed::forwards);
    let all = nets.iter().flat_map(|net| &net.forwards).chain(passed);
    let mut ports: Vec<(&str, u16)> = all.map(|forward| (forward.protocol, forward.host)).collect();
    ports.sort_unstable();
    match ports.windows(2).find(|pair| pair[0] == pair[1]) {
        Some([(protocol, port), ..]) => {
            Err(mistake(format!("hostfwd={protocol}:{port}: this port of the host is used twice")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str, number: usize) -> Option<Net> {
        text.parse::<NetOption>().unwrap_or_else(|problem| panic!("{problem}")).interface(number)
    }

    #[test]
    fn networks_have_defaults_and_all_their_options() {
        assert_eq!(net("none", 0), None);
        let plain = net("switch", 2).unwrap().interface;
        assert!(!plain.uplink && plain.mac.to_string() == "52:54:00:12:34:58");
        let full = "user,model=pv,mac=02:00:00:00:00:01,hostfwd=tcp:2222:22,hostfwd=udp:5300:53";
        let full = net(full, 0).unwrap();
        assert_eq!(full.interface.model, NetModel::Pv);
        assert!(full.interface.uplink && full.forwards.len() == 2 && !full.in_slot());
        let legacy = net("user,version=1", 0).unwrap().interface;
        assert_eq!(legacy.model, NetModel::VirtioMmio(MmioVersion::Legacy));
    }

    #[test]
    fn mistakes_say_what_there_is() {
        for (text, part) in [
            ("tap", "user, switch, none"),
            ("user,model=e1000", "virtio-mmio, pv"),
            ("user,version=3", "1 (legacy)"),
            ("user,mac=ff:ff:ff:ff:ff:ff", "such as 52:54"),
            ("user,hostfwd=tcp:22", "HOSTPORT:GUESTPORT"),
            ("user,hostfwd=tcp:0:22", "HOSTPORT:GUESTPORT"),
            ("user,hostfwd=tcp:22:22:22", "HOSTPORT:GUESTPORT"),
            ("user,hostfwd=tcp::99999-:22", "HOSTPORT:GUESTPORT"),
            ("switch,hostfwd=tcp:2222:22", "needs the network user"),
            ("user,vlan", "hostfwd="),
        ] {
            let problem = text.parse::<NetOption>().unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn ports_lead_to_the_guest_that_asked() {
        let nets = [net("user,hostfwd=tcp:8080:80", 0), net("user,hostfwd=udp:5300:53", 1)];
        let line = user(nets.iter().flatten().enumerate());
        let [tcp, udp] = ["tcp:127.0.0.1:8080-10.0.2.15:80", "udp:127.0.0.1:5300-10.0.2.16:53"];
        assert_eq!(line, format!("user,id=net,hostfwd={tcp},hostfwd={udp}"));
    }
}
