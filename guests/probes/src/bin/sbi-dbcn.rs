//! The debug console extension (OpenSBI has it from 1.3 on).
#![no_std]
#![no_main]

use probes::Probe;
use probes::paging::Frame;
use probes::sbi::{self, DBCN, INVALID_PARAM};

probes::probe!(main);

fn main(p: &mut Probe) {
    p.holds("available", sbi::has(DBCN));
    let frame = Frame::new();
    let text = *b"sbi-dbcn: write = works\r\n       ";
    for (index, bytes) in text.chunks(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        frame.set(index, u64::from_le_bytes(word));
    }
    p.is("write", sbi::call3(DBCN, 0, 25, frame.pa(), 0), "error 0, value 0x19");
    p.is("write nothing", sbi::call3(DBCN, 0, 0, frame.pa(), 0), "error 0, value 0x0");
    p.is("write from nowhere", sbi::call3(DBCN, 0, 5, 0x1800_0000, 0).error, INVALID_PARAM);
    p.is("write over the end", sbi::call3(DBCN, 0, u64::MAX, frame.pa(), 0).error, INVALID_PARAM);
    p.is("write from far above", sbi::call3(DBCN, 0, 5, frame.pa(), 1).error, INVALID_PARAM);
    p.is("read without input", sbi::call3(DBCN, 1, 8, frame.pa(), 0), "error 0, value 0x0");
    p.is("read to nowhere", sbi::call3(DBCN, 1, 8, 0x1000_0000, 0).error, INVALID_PARAM);
    for byte in b"sbi-dbcn: write byte = works\r\n" {
        let _ = sbi::call3(DBCN, 2, (*byte).into(), 0, 0);
    }
    p.is("no such function", sbi::call3(DBCN, 3, 0, 0, 0).error, sbi::NOT_SUPPORTED);
}
