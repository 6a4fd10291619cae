//! Named arrays as files that others read: NumPy's `.npz` and safetensors.

use super::{InspectError, LayerValues};
use crate::spec::Shape;
use std::io::{Cursor, Write};

/// A named array of floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its name.
    pub name: String,
    /// Its shape, rows major.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

impl From<&LayerValues> for Array {
    /// `[n, …shape]`, named as the layer.
    fn from(layer: &LayerValues) -> Self {
        let mut shape = vec![layer.values.len() / layer.shape.len().max(1)];
        match layer.shape {
            Shape::Image(chw) => shape.extend(chw),
            Shape::Flat(n) => shape.push(n),
        }
        Array { name: layer.name.clone(), shape, values: layer.values.clone() }
    }
}

fn bytes(array: &Array) -> Vec<u8> {
    array.values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The bytes of an `.npz` file: a zip archive of one `.npy` (format 1.0, little-endian float32) an array.
///
/// # Errors
/// What a zip archive cannot hold: two arrays of one name, too much data.
pub fn npz(arrays: &[Array]) -> Result<Vec<u8>, InspectError> {
    let encode = |e: &dyn std::fmt::Display| InspectError::Encode(e.to_string());
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for array in arrays {
        let options = zip::write::SimpleFileOptions::default().large_file(array.values.len() > 1 << 29);
        zip.start_file(format!("{}.npy", array.name), options).map_err(|e| encode(&e))?;
        zip.write_all(&npy_header(&array.shape)).map_err(|e| encode(&e))?;
        zip.write_all(&bytes(array)).map_err(|e| encode(&e))?;
    }
    Ok(zip.finish().map_err(|e| encode(&e))?.into_inner())
}

/// Magic, version, length, and a Python dictionary that is padded to a multiple of 64 bytes.
fn npy_header(shape: &[usize]) -> Vec<u8> {
    let sizes = match shape {
        [n] => format!("{n},"),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    let before = 10;
    let length = (before + text.len() + 1).next_multiple_of(64) - before;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((length as u16).to_le_bytes());
    header.extend(format!("{text:<0$}\n", length - 1).bytes());
    header
}

/// The bytes of a safetensors file of float32.
///
/// # Errors
/// Two arrays of one name, or values that do not fit a shape.
pub fn safetensors(arrays: &[Array]) -> Result<Vec<u8>, InspectError> {
    use ::safetensors::tensor::{Dtype, TensorView};
    let data: Vec<Vec<u8>> = arrays.iter().map(bytes).collect();
    let views = arrays.iter().zip(&data).map(|(array, data)| {
        let view = TensorView::new(Dtype::F32, array.shape.clone(), data);
        view.map(|v| (array.name.clone(), v)).map_err(|e| InspectError::Encode(e.to_string()))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    ::safetensors::serialize(views, None).map_err(|e| InspectError::Encode(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The `.npy` files that NumPy 2.4 writes for the same arrays.
    #[test]
    fn npz_holds_the_bytes_that_numpy_writes() {
        let two =
            Array { name: "3.body.0".into(), shape: vec![2, 3], values: (0..6).map(|i| i as f32 / 4.0).collect() };
        let one = Array { name: "input".into(), shape: vec![2], values: vec![1.0, -2.5] };
        let mut zip = zip::ZipArchive::new(Cursor::new(npz(&[two, one]).unwrap())).unwrap();
        let mut read = |name: &str| {
            let mut bytes = Vec::new();
            zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let numpy = |shape: &str, data: &[u8]| {
            let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
            [&b"\x93NUMPY\x01\x00v\x00"[..], format!("{dictionary:<117}\n").as_bytes(), data].concat()
        };
        let data = b"\x00\x00\x00\x00\x00\x00\x80>\x00\x00\x00?\x00\x00@?\x00\x00\x80?\x00\x00\xa0?";
        assert_eq!(read("3.body.0.npy"), numpy("(2, 3)", data));
        assert_eq!(read("input.npy"), numpy("(2,)", b"\x00\x00\x80?\x00\x00 \xc0"));
    }

    #[test]
    fn safetensors_are_read_back() {
        let array = Array { name: "a".into(), shape: vec![1, 2], values: vec![0.5, -3.0] };
        let bytes = safetensors(std::slice::from_ref(&array)).unwrap();
        let file = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = file.tensor("a").unwrap();
        assert_eq!((tensor.shape(), tensor.data()), (&[1, 2][..], &[0, 0, 0, 0x3f, 0, 0, 0x40, 0xc0][..]));
        let wrong = Array { shape: vec![3], ..array };
        assert!(matches!(safetensors(&[wrong]), Err(InspectError::Encode(_))));
    }
}
