//! From the samples that a batch names to the network's input on the device.

use crate::device::Gpu;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use lenet::data::Dataset;
use lenet::engine::{Batch, EngineError, Pixels, TrainStep, resolve_threads};
use lenet::engine::{CHUNK, Path};
use lenet::kernel::augment::{Context, Scratch};
use lenet::spec::Augment;

/// The datasets of a training, whose bytes go to the device once, and what turns bytes into values.
pub(crate) struct Samples<'a> {
    gpu: Gpu,
    shape: [usize; 3],
    data: [&'a Dataset; 2],
    /// Images as rows of words of four bytes, once they were needed.
    resident: [Option<Tensor<2, Int>>; 2],
    /// The last tables, and the same one behind the other.
    tables: Option<(Vec<[f32; 256]>, Tensor<1>)>,
    scratch: Scratch,
}

impl<'a> Samples<'a> {
    pub fn new(gpu: Gpu, shape: [usize; 3], data: [&'a Dataset; 2]) -> Self {
        Samples { gpu, shape, data, resident: [None, None], tables: None, scratch: Scratch::default() }
    }

    /// The batch's samples, `[n, c, h, w]`, as a step of training makes them.
    pub fn input(&mut self, batch: &Batch, how: Option<&TrainStep>) -> Result<Tensor<4>, EngineError> {
        let (n, [c, h, w]) = (batch.indices.len(), self.shape);
        let sample = c * h * w;
        let (data, tables) = match batch.pixels {
            Pixels::Bytes { data, tables } => (data, tables),
            Pixels::Floats(data) => {
                let values: Vec<f32> = rows(data, batch.indices, sample).flatten().copied().collect();
                return Ok(Tensor::from_data(TensorData::new(values, [n, c, h, w]), &self.gpu.device));
            }
        };
        let words = match how.and_then(|how| Some((how, how.augment?))) {
            Some((how, augment)) => {
                let bytes = self.augmented(augment, how, data, batch.indices)?;
                packed(&bytes, sample, &self.gpu.device)
            }
            None => match self.resident(data, sample) {
                Some(all) => all.select(0, integers(batch.indices.iter().map(|&i| i as i32), &self.gpu.device)),
                None => {
                    let bytes: Vec<u8> = rows(data, batch.indices, sample).flatten().copied().collect();
                    packed(&bytes, sample, &self.gpu.device)
                }
            },
        };
        Ok(self.values(words, tables).reshape([n, c, h, w]))
    }

    /// A dataset on the device; `None` for other bytes, and for more than kernels can see at once.
    fn resident(&mut self, data: &[u8], sample: usize) -> Option<Tensor<2, Int>> {
        let place = self.data.iter().position(|d| std::ptr::eq(&d.images[..], data))?;
        if data.is_empty() || (data.len() / sample * sample.next_multiple_of(4)) as u64 > self.gpu.max_binding {
            return None;
        }
        Some(self.resident[place].get_or_insert_with(|| packed(data, sample, &self.gpu.device)).clone())
    }

    /// Values of bytes in words, `[n, sample]`.
    fn values(&mut self, words: Tensor<2, Int>, tables: &[[f32; 256]]) -> Tensor<2> {
        let (n, [c, h, w], device) = (words.dims()[0], self.shape, &self.gpu.device);
        let part = |k: i32| words.clone().bitwise_right_shift_scalar(8 * k).bitwise_and_scalar(255);
        let padded = 4 * words.dims()[1];
        let bytes: Tensor<3, Int> = Tensor::stack((0..4).map(part).collect(), 2);
        let bytes = bytes.reshape([n, padded]).narrow(1, 0, c * h * w);
        // Each channel has its table.
        let places = match c {
            1 => bytes,
            _ => bytes + integers((0..c * h * w).map(|i| (i / (h * w) * 256) as i32), device).unsqueeze::<2>(),
        };
        let known = self.tables.take().filter(|(known, _)| known == tables);
        let upload = || (tables.to_vec(), Tensor::from_data(TensorData::new(tables.concat(), [256 * c]), device));
        let (_, table) = self.tables.insert(known.unwrap_or_else(upload));
        table.clone().select(0, places.reshape([n * c * h * w])).reshape([n, c * h * w])
    }

    /// What augmentation makes of samples: the CPU's bytes, on all its threads.
    fn augmented(
        &mut self,
        augment: &Augment,
        how: &TrainStep,
        data: &[u8],
        indices: &[u32],
    ) -> Result<Vec<u8>, EngineError> {
        let path = Path::detect().map_err(EngineError::Path)?;
        let (context, shape) = (Context { path, seed: how.seed, epoch: how.epoch }, self.shape);
        let sample: usize = shape.iter().product();
        let mut out = vec![0u8; indices.len() * sample];
        let run = |indices: &[u32], out: &mut [u8], scratch: &mut Scratch| {
            for (chunk, out) in indices.chunks(CHUNK).zip(out.chunks_mut(CHUNK * sample)) {
                out.copy_from_slice(augment.chunk(&context, data, chunk, shape, scratch));
            }
        };
        let share = indices.len().div_ceil(CHUNK).div_ceil(resolve_threads(0)) * CHUNK;
        if share >= indices.len() {
            run(indices, &mut out, &mut self.scratch);
            return Ok(out);
        }
        std::thread::scope(|scope| {
            for (indices, out) in indices.chunks(share).zip(out.chunks_mut(share * sample)) {
                scope.spawn(move || run(indices, out, &mut Scratch::default()));
            }
        });
        Ok(out)
    }
}

/// Whole numbers on the device.
pub(crate) fn integers(values: impl Iterator<Item = i32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), (device, DType::I32))
}

fn rows<'d, T>(data: &'d [T], indices: &'d [u32], sample: usize) -> impl Iterator<Item = &'d [T]> {
    indices.iter().map(move |&i| &data[i as usize * sample..][..sample])
}

/// Samples as rows of words, the last of which is filled up with zeros.
fn packed(bytes: &[u8], sample: usize, device: &Device) -> Tensor<2, Int> {
    let word = |four: &[u8]| {
        let mut word = [0; 4];
        word[..four.len()].copy_from_slice(four);
        i32::from_le_bytes(word)
    };
    let words: Vec<i32> = bytes.chunks_exact(sample).flat_map(|row| row.chunks(4).map(word)).collect();
    let shape = [bytes.len() / sample, sample.div_ceil(4)];
    Tensor::from_data(TensorData::new(words, shape), (device, DType::I32))
}
