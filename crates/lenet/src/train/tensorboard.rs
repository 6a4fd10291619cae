//! Event files for TensorBoard: metrics, pictures of the first filters and, if asked for, histograms of the weights.
//!
//! A file is a list of records (length, checksum, protobuf `Event`, checksum). Each process that trains in a run adds a
//! file of its own; what an earlier one wrote of epochs that are done again is marked as void.

use super::event::EpochMetrics;
use super::layout::EVENTS;
use crate::model::Model;
use crate::protobuf::Message;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bins of a histogram.
const BINS: usize = 32;

/// An event file, to which epochs are added.
#[derive(Debug)]
pub(super) struct EventFile(File);

impl EventFile {
    /// Starts a file that is named to come behind those that are in the directory. Whatever they hold of `epoch` and
    /// later ones is void.
    pub fn create(dir: &Path, epoch: usize) -> io::Result<Self> {
        let now = now();
        let is_events = |name: &str| name.starts_with(EVENTS);
        let before = fs::read_dir(dir)?.flatten().filter(|f| f.file_name().to_str().is_some_and(is_events)).count();
        // Read in the order of their names: the number decides between processes of one second.
        let path = dir.join(format!("{EVENTS}{:010}.{before:04}.lenet", now as u64));
        let mut file = EventFile(File::create_new(path)?);
        let mut records = record(&Message::default().double(1, now).bytes(3, "brain.Event:2"));
        if before > 0 {
            const START: i64 = 1;
            let session = Message::default().int(1, START);
            records.extend(record(&Message::default().double(1, now).int(2, epoch as i64).message(7, &session)));
        }
        file.append(&records)?;
        Ok(file)
    }

    /// Adds an epoch. `model` is what would be saved after it.
    pub fn add(&mut self, metrics: &EpochMetrics, model: &Model, histograms: bool) -> io::Result<()> {
        let mut values: Vec<Message> =
            scalars(metrics).map(|(tag, value)| value_of(tag).float(2, value as f32)).collect();
        values.extend(filters(model).map(|image| value_of("filters").message(4, &image)));
        if histograms {
            let tensors = model.network.tensors();
            values.extend(tensors.map(|t| {
                value_of(&format!("weights/{}", t.name)).message(5, &histogram(&model.parameters[t.range.clone()]))
            }));
        }
        let summary = values.iter().fold(Message::default(), |summary, value| summary.message(1, value));
        let event = Message::default().double(1, now()).int(2, metrics.epoch as i64).message(5, &summary);
        self.append(&record(&event))
    }

    /// In one piece, so that a killed process leaves no part of an epoch.
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.0.write_all(records)?;
        self.0.sync_data()
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

fn value_of(tag: &str) -> Message {
    Message::default().bytes(1, tag)
}

/// The tags group the curves that belong into one chart.
fn scalars(m: &EpochMetrics) -> impl Iterator<Item = (&'static str, f64)> {
    let always = [
        ("loss/train", m.train_loss),
        ("accuracy/train", m.train_accuracy),
        ("learning_rate", f64::from(m.lr)),
        ("speed/images_per_second", m.images_per_second),
        ("speed/train_seconds", m.train_seconds),
    ];
    let evaluated = [
        ("loss/validation", m.val_loss),
        ("accuracy/validation", m.val_accuracy),
        ("loss/test", m.test_loss),
        ("accuracy/test", m.test_accuracy),
    ];
    always.into_iter().chain(evaluated.into_iter().filter_map(|(tag, value)| value.map(|v| (tag, v))))
}

/// No pictures are drawn in this build.
#[cfg(not(feature = "report"))]
fn filters(_: &Model) -> Option<Message> {
    None
}

/// The first layer's filters as an `Image`, where the layer has any that can be shown.
#[cfg(feature = "report")]
fn filters(model: &Model) -> Option<Message> {
    const RGB: i64 = 3;
    let (layer, shape, weights) = model.filters()?;
    let png = crate::draw::filter_grid(&layer, shape, weights).to_png().ok()?;
    // Width and height stand in the PNG's header.
    let side = |at: usize| png.get(at..at + 4).map(|b| b.iter().fold(0, |n, b| n << 8 | i64::from(*b)));
    Some(Message::default().int(1, side(20)?).int(2, side(16)?).int(3, RGB).bytes(4, &png))
}

/// A `HistogramProto` with bins of one width between the smallest and the largest value.
fn histogram(values: &[f32]) -> Message {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(f64::from(*v)), high.max(f64::from(*v))));
    let width = (high - low) / BINS as f64;
    let bins = if width > 0.0 { BINS } else { 1 };
    let mut counts = vec![0.0; bins];
    for v in values {
        let bin = if width > 0.0 { ((f64::from(*v) - low) / width) as usize } else { 0 };
        counts[bin.min(bins - 1)] += 1.0;
    }
    let limits: Vec<f64> = (1..=bins).map(|i| if i == bins { high } else { low + i as f64 * width }).collect();
    let sum = |power: i32| values.iter().map(|v| f64::from(*v).powi(power)).sum::<f64>();
    let message = Message::default().double(1, low).double(2, high).double(3, values.len() as f64);
    message.double(4, sum(1)).double(5, sum(2)).doubles(6, &limits).doubles(7, &counts)
}

fn record(event: &Message) -> Vec<u8> {
    let data = &event.0;
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(&length));
    record.extend(data);
    record.extend(masked(data));
    record
}

/// CRC-32C, rotated and shifted as the format wants it.
fn masked(bytes: &[u8]) -> [u8; 4] {
    const CASTAGNOLI: u32 = 0x82f6_3b78;
    let crc = !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { CASTAGNOLI } else { 0 })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 8a9136aa, rotated and shifted.
        let expected = 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(masked(&[0; 32]), expected.to_le_bytes());
    }

    #[test]
    fn a_histogram_counts_every_value_once() {
        let of = |values: &[f32]| histogram(values).0;
        // Three fields of nine bytes, sum and squares, then two packed lists.
        let counts = |bytes: &[u8], bins: usize| -> f64 {
            let last = &bytes[bytes.len() - 8 * bins..];
            last.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).sum()
        };
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin()).collect();
        assert_eq!(counts(&of(&values), BINS), 1000.0);
        assert_eq!(counts(&of(&[0.5; 7]), 1), 7.0);
    }
}
