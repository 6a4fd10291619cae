//! Dropout by the same bits as the CPU's ([`lenet::kernel::op::dropout`]): a hash of sample and position, on the device.

use burn::tensor::{DType, Device, Int, Tensor};
use lenet::kernel::op::dropout::layer_key;

/// A shift to the right that fills with zeros; that of the signed integers here fills with the sign.
fn shifted<const D: usize>(x: Tensor<D, Int>, bits: i32) -> Tensor<D, Int> {
    x.bitwise_right_shift_scalar(bits).bitwise_and_scalar(i32::MAX >> (bits - 1))
}

/// 32 well-mixed bits of each number.
fn mixed<const D: usize>(x: Tensor<D, Int>) -> Tensor<D, Int> {
    let x = x.clone().bitwise_xor(shifted(x, 16)).mul_scalar(0x7feb_352d_i32);
    let x = x.clone().bitwise_xor(shifted(x, 15)).mul_scalar(0x846c_a68b_u32 as i32);
    x.clone().bitwise_xor(shifted(x, 16))
}

/// Which of `values` values each sample loses to a layer, `[n, values]`: its factor, 0 or 1 / (1 - rate).
///
/// `keys` are those of the samples, as signed integers of the same bits.
pub(crate) fn factors(keys: Tensor<1, Int>, layer: &str, rate: f32, values: usize, device: &Device) -> Tensor<2> {
    let n = keys.dims()[0];
    let places = Tensor::<1, Int>::arange(0..values as i64, (device, DType::I32)).reshape([1, values]);
    let keys = keys.add_scalar(layer_key(layer) as i32).reshape([n, 1]);
    let hash = mixed(keys.bitwise_xor(mixed(places)));
    // A whole number is below a limit if it is below the limit rounded up.
    let limit = (rate * 16_777_216.0).ceil() as i32;
    let kept = shifted(hash, 8).greater_equal_elem(limit);
    kept.float().mul_scalar(1.0 / (1.0 - rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::integers;
    use lenet::kernel::op::dropout::naive;

    #[test]
    fn masks_have_the_cpus_bits() {
        let gpu = crate::open(true).unwrap_or_else(|e| panic!("{e}"));
        let keys = [0u32, 1, 0x8000_0000, 0xdead_beef, u32::MAX];
        let on_device = integers(keys.iter().map(|&k| k as i32), &gpu.device);
        for rate in [0.1f32, 0.5, 0.73] {
            let found = factors(on_device.clone(), "3.body.1", rate, 333, &gpu.device);
            let found: Vec<f32> = found.try_into_vec_as().unwrap();
            for (key, row) in keys.iter().zip(found.chunks_exact(333)) {
                let want = naive::factors(key.wrapping_add(layer_key("3.body.1")), rate, 333);
                assert!(row.iter().zip(&want).all(|(f, w)| (f64::from(*f) - w).abs() < 1e-6), "{key} {rate}");
            }
        }
    }
}
