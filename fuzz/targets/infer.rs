//! The tensors of inference requests. Their parser is compiled here alone, without the server around it.

#![no_main]

#[path = "../../crates/lenet-serve/src/tensor.rs"]
#[allow(dead_code)]
mod tensor;

/// What the parser needs of the server.
mod http {
    pub struct Problem;

    impl Problem {
        pub fn bad(_: impl Into<String>) -> Problem {
            Problem
        }

        pub fn unfit(_: impl Into<String>) -> Problem {
            Problem
        }
    }
}

// The first zero byte ends the JSON, if there is one; JSON has none itself.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let json_len = bytes.iter().position(|b| *b == 0);
    let Ok((request, mut rest)) = tensor::InferRequest::read(bytes, json_len) else { return };
    request.wants_binary("logits");
    for input in request.inputs {
        if let Ok((values, images)) = input.images([1, 2, 2], &mut rest) {
            assert_eq!(values.len(), 4 * images);
        }
    }
});
