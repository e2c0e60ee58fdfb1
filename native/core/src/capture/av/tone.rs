// SPDX-License-Identifier: Apache-2.0
//! The light that a picture's numbers stand for, and the light of it that a screen of standard range shows.
//!
//! Light is counted in units of the reference white of BT.2408, 203 cd/m², at which paper, slides and user interfaces lie in
//! pictures of high dynamic range. That is made the white of the recording, so that a participant who sends high dynamic
//! range is as bright as the others. What is brighter (lamps, windows) is pressed into what is left above a knee. The curves
//! of BT.2390 and BT.2446 keep more of it, and make paper grey for that.

use super::colour::Transfer;

/// cd/m².
const REFERENCE_WHITE: f64 = 203.0;
const HLG_PEAK: f64 = 1000.0;

/// BT.1886: what the numbers of standard range are meant for.
const GAMMA: f64 = 2.4;

/// Where the numbers of the recording, from 0 to 1, leave those of the picture.
const KNEE: f64 = 0.96;

/// The most light that a number can stand for, its root, and the recording's number for it before the shoulder.
const MOST_LIGHT: f64 = 10_000.0 / REFERENCE_WHITE;
pub const MOST_ROOT: f64 = 7.1;
pub const MOST_NUMBER: f64 = 5.1;

impl Transfer {
    /// The light of a number, from 0 to 1 for what can be shown: of the scene where there is a gain, else as it is shown.
    pub fn light(self, number: f64) -> f64 {
        let size = number.abs();
        let light = match self {
            Self::Sdr => size.powf(GAMMA),
            Self::Pq => pq(size.min(1.0)) / REFERENCE_WHITE,
            Self::Hlg => hlg(size.min(1.0)),
        };
        light.copysign(number)
    }

    pub fn has_gain(self) -> bool {
        self == Self::Hlg
    }

    /// How much more or less of all light of a pixel is shown, by its luminance in the scene (0 to 1).
    pub fn gain(self, luminance: f64) -> f64 {
        match self {
            Self::Hlg => HLG_PEAK / REFERENCE_WHITE * luminance.powf(0.2),
            _ => 1.0,
        }
    }
}

/// cd/m² of a number of SMPTE ST 2084.
fn pq(number: f64) -> f64 {
    const M1: f64 = 2610.0 / 16384.0;
    const M2: f64 = 2523.0 / 4096.0 * 128.0;
    const C1: f64 = 3424.0 / 4096.0;
    const C2: f64 = 2413.0 / 4096.0 * 32.0;
    const C3: f64 = 2392.0 / 4096.0 * 32.0;
    let root = number.powf(1.0 / M2);
    10_000.0 * ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
}

/// The light of the scene (0 to 1) of a number of ARIB STD-B67.
fn hlg(number: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 0.284_668_92;
    const C: f64 = 0.559_910_73;
    if number <= 0.5 {
        number * number / 3.0
    } else {
        (((number - C) / A).exp() + B) / 12.0
    }
}

/// The recording's number for light, where white is 1 and brighter is more.
pub fn number(light: f64) -> f64 {
    light.min(MOST_LIGHT).powf(1.0 / GAMMA)
}

/// How much of their numbers a pixel's red, green and blue keep, by the largest of the three: all are dimmed alike, so that a
/// colour keeps its hue.
pub fn left(brightest: f64) -> f64 {
    if brightest <= KNEE {
        1.0
    } else {
        shoulder(brightest) / brightest
    }
}

/// The nearest light without a negative part on the way to grey of the same luminance: what BT.709 cannot show loses as much of
/// its saturation as it takes. What is less than that is cut off: rounded numbers are beyond the gamut by so much.
#[inline(always)]
#[allow(clippy::inline_always)] // a part of what is compiled for each kind of processor
pub fn within_gamut([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let grey = (0.2126 * red + 0.7152 * green + 0.0722 * blue).max(1e-9);
    let least = (red.min(green).min(blue) + LITTLE * grey).min(0.0);
    let kept = grey / (grey - least);
    [red, green, blue].map(|light| (grey + (light - grey) * kept).max(0.0))
}

const LITTLE: f32 = 0.01;

/// Straight up to the knee, and from there on ever flatter towards 1.
fn shoulder(number: f64) -> f64 {
    let left = 1.0 - KNEE;
    if number <= KNEE {
        number
    } else {
        KNEE + left * (1.0 - (-(number - KNEE) / left).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(one: f64, other: f64, tolerance: f64) -> bool {
        (one - other).abs() <= tolerance
    }

    /// What grey of this light becomes.
    fn shown(light: f64) -> f64 {
        number(light) * left(number(light))
    }

    fn grey(transfer: Transfer, number: f64) -> f64 {
        let light = transfer.light(number);
        light * transfer.gain(light)
    }

    #[test]
    fn reference_white_comes_out_near_white_and_nothing_above_it() {
        for (transfer, number) in [(Transfer::Pq, 0.5806), (Transfer::Hlg, 0.75)] {
            let white = grey(transfer, number);
            assert!(near(white, 1.0, 0.01), "{transfer:?}: {white}");
            assert!((0.98..1.0).contains(&shown(white)), "{transfer:?}: {}", shown(white));
            assert!((shown(white)..=1.0).contains(&shown(grey(transfer, 1.0))), "{transfer:?}");
        }
        assert!(MOST_LIGHT.sqrt() <= MOST_ROOT && number(MOST_LIGHT) <= MOST_NUMBER, "the tables reach");
    }

    #[test]
    fn what_is_no_brighter_than_slides_keeps_its_numbers_and_more_light_is_never_darker() {
        for number in [0.0, 0.1, 0.5, 0.75, 0.95] {
            assert!(near(shown(Transfer::Sdr.light(number)), number, 1e-9), "{number}");
        }
        let rising: Vec<f64> = (0..1000).map(|step| shown(f64::from(step) / 40.0)).collect();
        assert!(rising.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "{rising:?}");
    }

    #[test]
    fn colours_beyond_the_gamut_come_into_it_and_keep_their_luminance() {
        let seen = |light: [f32; 3]| light[0] * 0.2126 + light[1] * 0.7152 + light[2] * 0.0722;
        let within = within_gamut([0.5, -0.05, 0.1]);
        assert!(within[1].abs() < 1e-3 && within[0] > within[2]);
        assert!((seen(within) - seen([0.5, -0.05, 0.1])).abs() < 2e-3);
        for light in [[9.0, -1.0, 0.2], [-1.0, -1.0, 5.0], [0.0; 3], [-1.0; 3]] {
            assert!(within_gamut(light).iter().all(|light| light.is_finite() && *light >= 0.0), "{light:?}");
        }
        assert!(within_gamut([0.2, 0.4, 0.6]).iter().zip([0.2, 0.4, 0.6]).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
