//! Fletcher-4 over pieces that are cut anywhere. The sender sums header and payload one after the other, each in
//! whole words from its own start, so a word can be cut by us but never reaches over such a boundary.

use crate::fletcher::ByteOrder;
use crate::fletcher::Fletcher4;

#[derive(Debug, Clone, Copy)]
pub(super) struct RunningSum {
    sum: Fletcher4,
    pub(super) order: ByteOrder,
    cut: [u8; 4],
    /// Bytes of `cut` in use: 0 to 3.
    held: usize,
}

impl RunningSum {
    pub(super) fn new(order: ByteOrder) -> Self {
        Self { sum: Fletcher4::new(), order, cut: [0; 4], held: 0 }
    }

    pub(super) fn words(&self) -> [u64; 4] {
        self.sum.words
    }

    /// Adds the next bytes of a header or payload.
    pub(super) fn add(&mut self, mut data: &[u8]) {
        while self.held != 0 {
            let Some((first, rest)) = data.split_first() else { return };
            self.cut[self.held] = *first;
            self.held = (self.held + 1) % 4;
            data = rest;
            if self.held == 0 {
                self.sum.update(&self.cut, self.order);
            }
        }
        self.sum.update(data, self.order);
        let rest = data.len() % 4;
        self.cut[..rest].copy_from_slice(&data[data.len() - rest..]);
        self.held = rest;
    }

    /// Ends a header or payload; bytes that fill no word do not count.
    pub(super) fn end(&mut self) {
        self.held = 0;
    }
}
