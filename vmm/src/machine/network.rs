//! The guests' network as a part of the machine: who is at which port of the
//! switch, and who is told when frames have come.
//!
//! Who sends only leaves frames in inboxes. Afterwards, with no lock held,
//! its hart tells those that wait for frames ([`Network::deliver`]): a guest
//! by its attention, so that its own hart fills its buffers; the real network
//! by moving the frames there.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::mutex::SpinMutex;

use super::link::{Attention, Link};
use super::{Host, Machine};
use crate::bundle;
use crate::net::{Cable, Plug, Station, Switch, Wire, bit};

/// The network of all guests.
pub(super) struct Network {
    switch: Arc<Switch>,
    /// The guest at each port, by number; behind them is the uplink.
    guests: Vec<usize>,
    /// Not a leaf lock, as a port's and the real interface's are taken under
    /// it; it is taken under no other.
    cable: Option<SpinMutex<Cable>>,
}

impl Network {
    /// A network for those of `guests` that have an interface, with `real`
    /// behind the uplink.
    pub(super) fn new(guests: &[bundle::Guest], real: Option<Box<dyn Wire>>) -> Self {
        let with_net = guests.iter().enumerate().filter_map(|(n, g)| Some((n, g.net.as_ref()?)));
        let (guests, mut stations): (Vec<usize>, Vec<Station>) = with_net
            .map(|(n, net)| (n, Station::Guest { address: net.mac, uplink: net.uplink }))
            .unzip();
        stations.extend(real.is_some().then_some(Station::Uplink));
        let switch = Arc::new(Switch::new(&stations));
        let port = Plug::new(switch.clone(), guests.len());
        let cable = real.map(|real| SpinMutex::new(Cable::new(port, real)));
        Self { switch, guests, cable }
    }

    /// Whether there is a real network.
    pub(super) fn has_uplink(&self) -> bool {
        self.cable.is_some()
    }

    /// The end of the wire that goes to guest `number`, if it has one.
    pub(super) fn plug(&self, number: usize) -> Option<Box<dyn Wire>> {
        let port = self.guests.iter().position(|guest| *guest == number)?;
        Some(Box::new(Plug::new(self.switch.clone(), port)))
    }

    /// Moves frames between the switch and the real network.
    fn move_frames(&self) {
        if let Some(cable) = &self.cable
            && cable.lock().move_frames()
        {
            self.switch.announce(self.uplink());
        }
    }

    /// The port of the uplink.
    fn uplink(&self) -> usize {
        self.guests.len()
    }
}

impl Machine {
    /// Tells those that wait for frames that some have come. What is left of
    /// it is done in the next turns of the vCPU of `link`.
    #[inline]
    pub(super) fn deliver<H: Host>(&self, host: &H, link: &Link) {
        match self.network.switch.take_news() {
            0 => {}
            news => self.deliver_news(host, Some(link), news),
        }
    }

    /// The real network has frames, or room for some.
    pub(super) fn uplink_is_ready<H: Host>(&self, host: &H) {
        self.network.move_frames();
        self.deliver_news(host, None, self.network.switch.take_news());
    }

    #[inline(never)]
    fn deliver_news<H: Host>(&self, host: &H, link: Option<&Link>, mut news: u32) {
        let network = &self.network;
        let uplink = bit(network.uplink());
        if news & uplink != 0 {
            network.move_frames();
            news = news & !uplink | network.switch.take_news();
        }
        if news & uplink != 0 {
            network.switch.announce(network.uplink());
            link.or_else(|| self.receiver(0)).inspect(|link| link.notify(host, Attention::FRAMES));
        }
        for port in (0..network.guests.len()).filter(|port| news & bit(*port) != 0) {
            self.receiver(port).inspect(|link| link.notify(host, Attention::FRAMES));
        }
    }

    /// The vCPU that looks for the frames of a guest's port.
    fn receiver(&self, port: usize) -> Option<&Link> {
        self.guests.get(*self.network.guests.get(port)?)?.links.first()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::bundle::Boot;
    use crate::machine::fake::{Board, FakeHost, machine};
    use crate::net::Mac;

    /// Frames from guest 0 on a machine of two guests, each on a hart.
    struct Sender {
        machine: &'static Machine,
        host: FakeHost,
        plug: Box<dyn Wire>,
    }

    impl Sender {
        fn new() -> Self {
            let machine = machine(&[1, 1], Boot::Machine, 2);
            let host = FakeHost::new(0, &Board::new(2), |_| unreachable!());
            let plug = machine.network.plug(0).unwrap();
            Self { machine, host, plug }
        }

        fn send(&mut self, to: Mac) {
            let frame: Vec<u8> = [&to.0[..], &Mac::numbered(0).0, &[0x88, 0xb5]].concat();
            assert!(self.plug.send(&frame));
        }

        /// Delivers, and tells which guests must look.
        fn told(&self) -> [bool; 2] {
            let links = [0, 1].map(|guest| &self.machine.guests[guest].links[0]);
            self.machine.deliver(&self.host, links[0]);
            links.map(|link| link.take_attention().contains(Attention::FRAMES))
        }
    }

    #[test]
    fn who_is_to_look_for_frames_is_told() {
        let mut sender = Sender::new();
        assert_eq!(sender.told(), [false, false]);
        sender.send(Mac::numbered(1));
        assert!(!sender.host.board.is_kicked(1), "not before the devices' lock is free");
        assert_eq!(sender.told(), [false, true]);
        assert!(sender.host.board.is_kicked(1) && !sender.host.board.is_kicked(0));
        sender.send(Mac::numbered(1));
        assert_eq!(sender.told(), [false, false], "it has not looked for the first one yet");
    }

    #[test]
    fn what_is_for_the_outside_is_moved_at_once() {
        let mut sender = Sender::new();
        sender.send(Mac([2; 6]));
        assert_eq!(sender.told(), [true, false], "the answer is there");
        let mut frame = [0; crate::net::FRAME_MAX];
        assert_eq!(sender.plug.receive(&mut frame), Some(14));
        assert_eq!(frame[..6], Mac::numbered(0).0);
    }

    #[test]
    fn what_is_left_for_the_outside_falls_to_who_sent_it() {
        let mut sender = Sender::new();
        // More than is moved in two goes: other harts may go on sending.
        let network = &sender.machine.network;
        let mut others = network.plug(1).unwrap();
        let frame = [&[2; 6][..], &Mac::numbered(1).0, &[0x88, 0xb5]].concat();
        for _ in 0..crate::net::BURST * 2 {
            sender.send(Mac([2; 6]));
            others.send(&frame);
        }
        let mut rounds = 0;
        while sender.told()[0] {
            rounds += 1;
        }
        assert!((2..6).contains(&rounds), "{rounds}");
        assert_eq!(sender.machine.network.switch.take_news(), 0);
    }
}
