// SPDX-License-Identifier: Apache-2.0
//! What the numbers of a picture mean, and the one meaning that they have in a recording.

use std::ffi::c_int;

use ffmpeg_sys_next as ffi;

use super::frame::Frame;

/// Three rows of three.
pub type Matrix3 = [[f64; 3]; 3];

/// How luma and two differences are made of red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    Bt709,
    Bt601,
    Bt2020,
    Fcc,
    Smpte240,
    YCgCo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    Limited,
    Full,
}

/// Which red, green, blue and white are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Primaries {
    Bt709,
    Bt470M,
    Bt470Bg,
    Smpte170,
    Film,
    Bt2020,
    DciP3,
    DisplayP3,
    Ebu3213,
}

/// How numbers become light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// Made for displays of a peak of their own. The curves of BT.709, BT.601, sRGB and their like are shown alike by
    /// players, so they count as one.
    Sdr,
    Pq,
    Hlg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    pub matrix: Matrix,
    pub range: Range,
    pub primaries: Primaries,
    pub transfer: Transfer,
}

impl Colour {
    /// What all of a recording's pictures are converted into: what players take a picture of its size for where they read
    /// nothing of it. So those see the right colours, too, and what most sources of that size send stays as it is. The
    /// primaries are those of every camera and screen of a conference, at any size.
    pub fn of_recording(width: u32, height: u32) -> Self {
        let matrix = usual_matrix(width, height);
        Self { matrix, range: Range::Limited, primaries: Primaries::Bt709, transfer: Transfer::Sdr }
    }

    /// What a picture's numbers mean, by what is stated or else as is usual for its size. Of those that are red, green and
    /// blue themselves, the scaler makes the recording's.
    pub fn of(frame: &Frame, recording: Self) -> Self {
        let raw = frame.raw();
        let transfer = transfer(raw.color_trc);
        let wide = transfer != Transfer::Sdr;
        let primaries = primaries(raw.color_primaries);
        let usual = || match primaries {
            Some(Primaries::Bt2020) => Matrix::Bt2020,
            None if wide => Matrix::Bt2020,
            _ => usual_matrix(frame.width(), frame.height()),
        };
        let matrix = if frame.is_rgb() { recording.matrix } else { matrix(raw.colorspace).unwrap_or_else(usual) };
        let range = if frame.is_full_range() && !frame.is_rgb() { Range::Full } else { Range::Limited };
        let usual = if wide { Primaries::Bt2020 } else { Primaries::Bt709 };
        Self { matrix, range, primaries: primaries.unwrap_or(usual), transfer }
    }

    /// As an H.264 stream states it: primaries, transfer, matrix, range.
    pub fn stated(
        self,
    ) -> (ffi::AVColorPrimaries, ffi::AVColorTransferCharacteristic, ffi::AVColorSpace, ffi::AVColorRange) {
        let matrix = match self.matrix {
            Matrix::Bt601 => ffi::AVColorSpace::AVCOL_SPC_SMPTE170M,
            _ => ffi::AVColorSpace::AVCOL_SPC_BT709,
        };
        (
            ffi::AVColorPrimaries::AVCOL_PRI_BT709,
            ffi::AVColorTransferCharacteristic::AVCOL_TRC_BT709,
            matrix,
            ffi::AVColorRange::AVCOL_RANGE_MPEG,
        )
    }
}

/// Pictures larger than those of standard television are high definition, whichever side is the longer one.
fn usual_matrix(width: u32, height: u32) -> Matrix {
    if width.max(height) >= 1280 || width.min(height) > 576 {
        Matrix::Bt709
    } else {
        Matrix::Bt601
    }
}

fn matrix(stated: ffi::AVColorSpace) -> Option<Matrix> {
    use ffi::AVColorSpace as Stated;
    Some(match stated {
        Stated::AVCOL_SPC_BT709 => Matrix::Bt709,
        Stated::AVCOL_SPC_BT470BG | Stated::AVCOL_SPC_SMPTE170M => Matrix::Bt601,
        Stated::AVCOL_SPC_BT2020_NCL | Stated::AVCOL_SPC_BT2020_CL => Matrix::Bt2020,
        Stated::AVCOL_SPC_FCC => Matrix::Fcc,
        Stated::AVCOL_SPC_SMPTE240M => Matrix::Smpte240,
        Stated::AVCOL_SPC_YCGCO => Matrix::YCgCo,
        _ => return None,
    })
}

fn primaries(stated: ffi::AVColorPrimaries) -> Option<Primaries> {
    use ffi::AVColorPrimaries as Stated;
    Some(match stated {
        Stated::AVCOL_PRI_BT709 => Primaries::Bt709,
        Stated::AVCOL_PRI_BT470M => Primaries::Bt470M,
        Stated::AVCOL_PRI_BT470BG => Primaries::Bt470Bg,
        Stated::AVCOL_PRI_SMPTE170M | Stated::AVCOL_PRI_SMPTE240M => Primaries::Smpte170,
        Stated::AVCOL_PRI_FILM => Primaries::Film,
        Stated::AVCOL_PRI_BT2020 => Primaries::Bt2020,
        Stated::AVCOL_PRI_SMPTE431 => Primaries::DciP3,
        Stated::AVCOL_PRI_SMPTE432 => Primaries::DisplayP3,
        Stated::AVCOL_PRI_EBU3213 => Primaries::Ebu3213,
        _ => return None,
    })
}

fn transfer(stated: ffi::AVColorTransferCharacteristic) -> Transfer {
    match stated {
        ffi::AVColorTransferCharacteristic::AVCOL_TRC_SMPTE2084 => Transfer::Pq,
        ffi::AVColorTransferCharacteristic::AVCOL_TRC_ARIB_STD_B67 => Transfer::Hlg,
        _ => Transfer::Sdr,
    }
}

impl Matrix {
    /// Red, green and blue of luma (0 to 1) and the differences (-0.5 to 0.5).
    pub fn to_rgb(self) -> Matrix3 {
        let (red, blue) = match self {
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt601 => (0.299, 0.114),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Fcc => (0.30, 0.11),
            Self::Smpte240 => (0.212, 0.087),
            Self::YCgCo => return [[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]],
        };
        let green = 1.0 - red - blue;
        let (of_red, of_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        [[1.0, 0.0, of_red], [1.0, -of_blue * blue / green, -of_red * red / green], [1.0, of_blue, 0.0]]
    }

    /// Luma and differences of red, green and blue.
    pub fn of_rgb(self) -> Matrix3 {
        inverse(self.to_rgb())
    }

    /// As libswscale numbers them, for what it makes of red, green and blue.
    pub fn for_scaler(self) -> c_int {
        let number = match self {
            Self::Bt709 => ffi::SWS_CS_ITU709,
            Self::Bt2020 => ffi::SWS_CS_BT2020,
            _ => ffi::SWS_CS_ITU601,
        };
        c_int::try_from(number).unwrap_or(0)
    }
}

impl Primaries {
    /// Red, green and blue light of BT.709 that look like red, green and blue of these; white stays white.
    pub fn to_bt709(self) -> Matrix3 {
        let mut matrix = product(inverse(Self::Bt709.to_xyz()), self.to_xyz());
        for row in &mut matrix {
            let white: f64 = row.iter().sum();
            *row = row.map(|entry| entry / white);
        }
        matrix
    }

    /// Colorimetric values of red, green and blue light.
    fn to_xyz(self) -> Matrix3 {
        const D65: (f64, f64) = (0.3127, 0.3290);
        const C: (f64, f64) = (0.310, 0.316);
        let (red, green, blue, white) = match self {
            Self::Bt709 => ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65),
            Self::Bt470M => ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), C),
            Self::Bt470Bg => ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
            Self::Smpte170 => ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
            Self::Film => ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), C),
            Self::Bt2020 => ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
            Self::DciP3 => ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
            Self::DisplayP3 => ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
            Self::Ebu3213 => ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
        };
        let light = |(x, y): (f64, f64)| [x / y, 1.0, (1.0 - x - y) / y];
        let columns = [light(red), light(green), light(blue)];
        let chromaticities: Matrix3 = std::array::from_fn(|row| columns.map(|column| column[row]));
        let strengths = apply(&inverse(chromaticities), light(white));
        chromaticities.map(|row| std::array::from_fn(|column| row[column] * strengths[column]))
    }
}

pub fn apply(matrix: &Matrix3, vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(entry, value)| entry * value).sum())
}

pub fn product(one: Matrix3, other: Matrix3) -> Matrix3 {
    one.map(|row| std::array::from_fn(|column| (0..3).map(|index| row[index] * other[index][column]).sum()))
}

fn inverse(matrix: Matrix3) -> Matrix3 {
    let cofactor = |row: usize, column: usize| {
        let at = |down: usize, right: usize| matrix[(row + down) % 3][(column + right) % 3];
        at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1)
    };
    let determinant: f64 = (0..3).map(|column| matrix[0][column] * cofactor(0, column)).sum();
    std::array::from_fn(|row| std::array::from_fn(|column| cofactor(column, row) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_stays_white_and_what_is_made_of_a_colour_gives_it_back() {
        for matrix in [Matrix::Bt709, Matrix::Bt601, Matrix::Bt2020, Matrix::Fcc, Matrix::Smpte240, Matrix::YCgCo] {
            let [luma, ..] = apply(&matrix.of_rgb(), [1.0; 3]);
            assert!((luma - 1.0).abs() < 1e-9, "{matrix:?}");
            let there = apply(&matrix.to_rgb(), apply(&matrix.of_rgb(), [0.2, 0.5, 0.9]));
            assert!(there.iter().zip([0.2, 0.5, 0.9]).all(|(a, b)| (a - b).abs() < 1e-9), "{matrix:?}");
        }
        for primaries in [Primaries::Bt2020, Primaries::DciP3, Primaries::Bt470M, Primaries::Smpte170] {
            let white = apply(&primaries.to_bt709(), [1.0; 3]);
            assert!(white.iter().all(|value| (value - 1.0).abs() < 1e-9), "{primaries:?}");
        }
        // As BT.2087 has it, turned round.
        let red = apply(&Primaries::Bt2020.to_bt709(), [1.0, 0.0, 0.0]);
        assert!(red.iter().zip([1.6605, -0.1246, -0.0182]).all(|(a, b)| (a - b).abs() < 1e-3), "{red:?}");
    }

    #[test]
    fn sizes_are_high_or_standard_definition_whichever_way_they_are_held() {
        for (width, height, matrix) in [
            (640, 360, Matrix::Bt601),
            (720, 576, Matrix::Bt601),
            (360, 640, Matrix::Bt601),
            (576, 1024, Matrix::Bt601),
            (1280, 720, Matrix::Bt709),
            (720, 1280, Matrix::Bt709),
            (960, 720, Matrix::Bt709),
        ] {
            assert_eq!(Colour::of_recording(width, height).matrix, matrix, "{width}x{height}");
        }
    }
}
