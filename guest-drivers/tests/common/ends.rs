//! What is at the other ends of devices: a terminal, a wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use trapeze_vmm::net::{Frame, Wire};
use trapeze_vmm::virtio::console;

/// A terminal: what was shown, and what is typed.
#[derive(Clone, Default)]
pub(crate) struct Teletype(Arc<Mutex<(Vec<u8>, VecDeque<u8>)>>);

impl console::Terminal for Teletype {
    fn show(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().0.extend(bytes);
    }

    fn waiting(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let typed = &mut self.0.lock().unwrap().1;
        let count = bytes.len().min(typed.len());
        bytes.iter_mut().zip(typed.drain(..count)).for_each(|(to, from)| *to = from);
        count
    }
}

impl Teletype {
    pub(crate) fn type_in(&self, bytes: &[u8]) {
        self.0.lock().unwrap().1.extend(bytes);
    }

    pub(crate) fn shown(&self) -> Vec<u8> {
        self.0.lock().unwrap().0.clone()
    }
}

/// A wire that brings back what was sent.
#[derive(Clone, Default)]
pub(crate) struct Loop(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Wire for Loop {
    fn send(&mut self, frame: &[u8]) -> bool {
        self.0.lock().unwrap().push_back(frame.to_vec());
        true
    }

    fn receive(&mut self, frame: &mut Frame) -> Option<usize> {
        let sent = self.0.lock().unwrap().pop_front()?;
        frame[..sent.len()].copy_from_slice(&sent);
        Some(sent.len())
    }

    fn clear(&mut self) {
        self.0.lock().unwrap().clear();
    }
}
