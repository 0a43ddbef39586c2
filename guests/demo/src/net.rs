//! The network: the TCP/IP stack `smoltcp` on the machine's interface.
//!
//! ```text
//!  guest_drivers::Net ─┐
//!                      ├ card ── smoltcp ─┬─ DHCP, unless `ip=ADDRESS` says it
//!  virtio-mmio ────────┘                  ├─ web: a server on port 80
//!                                         └─ ping, fetch: the shell's commands
//! ```

mod card;
mod fetch;
mod mmio;
mod ping;
mod web;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address, Ipv4Cidr};

use self::card::Card;
use crate::Vmm;
use crate::text::microseconds;
use crate::tree::Machine;
use crate::{console, events, hart, println};

/// Bytes that a connection buffers, in each direction.
const WINDOW: usize = 64 << 10;
/// How long a command waits for an answer, in seconds.
const PATIENCE: u64 = 20;

/// The network of this machine.
pub(crate) struct Network {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    /// `None`: the address is fixed.
    dhcp: Option<SocketHandle>,
    server: web::Server,
    /// Ticks of `time` per second.
    frequency: u64,
}

impl Network {
    /// Takes the interface into service, if there is one. Its address is the
    /// one of the boot arguments, such as `ip=10.0.3.20/24`; else DHCP finds
    /// one.
    pub(crate) fn find(vmm: Option<Vmm>, machine: &Machine) -> Option<Self> {
        let (address, frequency) = (machine.argument("ip"), machine.frequency);
        let mut card = Card::find(machine, vmm)?;
        let mut config = Config::new(EthernetAddress(card.mac()?).into());
        config.random_seed = hart::time();
        let interface = Interface::new(config, &mut card, now(frequency));
        let mut sockets = SocketSet::new(vec![]);
        let server = web::Server::new(&mut sockets);
        let fixed = address.and_then(|address| address.parse::<Ipv4Cidr>().ok());
        let dhcp = fixed.is_none().then(|| sockets.add(dhcpv4::Socket::new()));
        let mut network = Self { card, interface, sockets, dhcp, server, frequency };
        if let Some(fixed) = fixed {
            network.set_address(Some(fixed), None);
        }
        Some(network)
    }

    /// Address and interface, in words.
    pub(crate) fn describe(&self) -> String {
        let address = self.interface.ip_addrs().first().map(ToString::to_string);
        let address = address.unwrap_or_else(|| "no address yet".to_string());
        self.card.describe(format_args!("{}, {address}", self.interface.hardware_addr()))
    }

    /// Lets everything go on; `page` is asked for by who reads the web page.
    pub(crate) fn poll(&mut self, page: &dyn Fn() -> String) {
        self.step();
        self.server.serve(&mut self.sockets, page);
        self.step();
        // What has to be done without anything coming: answers not seen, DHCP.
        let delay = self.interface.poll_delay(now(self.frequency), &self.sockets);
        let wake = delay.map_or(u64::MAX, |delay| {
            hart::time().saturating_add(delay.total_micros().max(1000) * self.frequency / 1_000_000)
        });
        hart::set_timer(wake);
    }

    /// Moves frames, and hears of an address.
    fn step(&mut self) {
        self.interface.poll(now(self.frequency), &mut self.card, &mut self.sockets);
        let Some(dhcp) = self.dhcp else { return };
        let (address, router) = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            Some(dhcpv4::Event::Configured(config)) => (Some(config.address), config.router),
            Some(dhcpv4::Event::Deconfigured) => (None, None),
            None => return,
        };
        self.set_address(address, router);
    }

    fn set_address(&mut self, address: Option<Ipv4Cidr>, router: Option<Ipv4Address>) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for one.
            let _ = address.map(|address| addresses.push(IpCidr::Ipv4(address)));
        });
        self.interface.routes_mut().remove_default_ipv4_route();
        if let Some(router) = router {
            let _ = self.interface.routes_mut().add_default_ipv4_route(router);
        }
    }

    /// Goes on until `done` has an answer, the user types Ctrl-C, or nothing
    /// has happened for too long.
    fn until<T>(
        &mut self,
        mut done: impl FnMut(&mut Interface, &mut SocketSet<'static>) -> Option<T>,
    ) -> Result<T, String> {
        let end = hart::time().saturating_add(PATIENCE * self.frequency);
        loop {
            self.step();
            if let Some(answer) = done(&mut self.interface, &mut self.sockets) {
                self.step();
                return Ok(answer);
            }
            if console::interrupted() {
                return Err("interrupted".to_string());
            }
            if hart::time() >= end {
                return Err(format!("no answer within {PATIENCE} s"));
            }
            let soon = self.frequency / 100;
            hart::set_timer(hart::time() + soon);
            events::wait();
        }
    }

    /// Waits for an address.
    fn ready(&mut self) -> Result<(), String> {
        let asked = self.until(|interface, _| interface.ipv4_addr().map(|_| ()));
        asked.map_err(|problem| format!("no address: {problem}"))
    }
}

/// A connection that is not one yet.
fn connection() -> tcp::Socket<'static> {
    let [receive, send] = [(); 2].map(|()| tcp::SocketBuffer::new(vec![0; WINDOW]));
    tcp::Socket::new(receive, send)
}

/// The time, as the stack wants it.
fn now(frequency: u64) -> Instant {
    let micros = microseconds(hart::time(), frequency);
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// An address in numbers: this kernel knows no names.
fn address(text: &str) -> Result<Ipv4Address, String> {
    text.parse().map_err(|_| format!("{text}: an address in numbers, such as 10.0.2.2"))
}

impl Network {
    /// `ping HOST`
    pub(crate) fn ping(&mut self, host: &str) -> Result<(), String> {
        let host = address(host)?;
        self.ready()?;
        ping::run(self, host)
    }

    /// `fetch HOST[:PORT]/PATH`; tells how many bytes came, and shows them to
    /// `see`.
    pub(crate) fn fetch(&mut self, what: &str, see: impl FnMut(&[u8])) -> Result<u64, String> {
        let (host, path) = what.split_once('/').unwrap_or((what, ""));
        let (host, port) = host.split_once(':').unwrap_or((host, "80"));
        let port = port.parse().map_err(|_| format!("{port}: no port"))?;
        let host = address(host)?;
        self.ready()?;
        let begin = hart::time();
        let bytes = fetch::run(self, (host, port), path, see)?;
        let micros = microseconds(hart::time() - begin, self.frequency);
        println!("{bytes} bytes in {}.{:03} s", micros / 1_000_000, micros / 1000 % 1000);
        Ok(bytes)
    }
}
