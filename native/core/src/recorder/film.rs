// SPDX-License-Identifier: Apache-2.0
//! The MP4 of a recording that asked for one: made once recording is over and the bucket has every slice, and put beside
//! them. Without it the recording is complete, too; so what makes it impossible is told, and never holds up the rest.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::books::ledger::{self, Ledger};
use crate::books::record::Record;
use crate::error::{Code, Error};
use crate::locked::Locked;
use crate::log;
use crate::mp4::{self, Slice};
use crate::names;
use crate::recorder::parcel::{self, Parcel};
use crate::recorder::stock::{News, Stock, Stop};
use crate::storage::failure::{Cause, Failure};
use crate::storage::large::{Local, Put};
use crate::storage::store::{Kind, Store};

/// Returns once the bucket has the MP4, or it was given up and that was told. What was kept for it is gone from the disk
/// then. The bucket must have every slice.
pub async fn deliver(stock: &Stock, store: &Store) -> Result<(), Stop> {
    let Some(order) = Order::of(stock.books.locked().ledger()) else { return Ok(()) };
    if order.is_open {
        let record = match order.carry_out(stock, store).await {
            Ok(Put { bytes, sha256, .. }) => Record::Filmed { file: order.file.clone(), bytes, sha256 },
            Err(Hitch::Never(reason)) => order.give_up(reason, stock),
            Err(Hitch::Now(stop)) => return Err(stop),
        };
        stock.write(record)?;
    }
    for file in order.parcels.iter().map(|parcel| &parcel.file).chain([&order.file, &partial(&order.file)]) {
        stock.remove(file)?;
    }
    Ok(())
}

/// Why there is no MP4.
enum Hitch {
    /// At present.
    Now(Stop),
    /// For good.
    Never(String),
}

impl From<Failure> for Hitch {
    fn from(failure: Failure) -> Self {
        Self::Now(failure.into())
    }
}

/// The MP4 that was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    file: String,
    parcels: Vec<Parcel>,
    is_open: bool,
}

impl Order {
    fn of(ledger: &Ledger) -> Option<Self> {
        let film = ledger.film()?;
        Some(Self {
            file: names::film(&ledger.begun()?.stem),
            parcels: ledger.unbroken().map(|(slice, complete)| parcel::parcel(slice, complete)).collect(),
            is_open: *film == ledger::Film::Wanted,
        })
    }

    async fn carry_out(&self, stock: &Stock, store: &Store) -> Result<Put, Hitch> {
        let path = stock.directory.join(&self.file);
        // Under this name it is whole; an earlier attempt failed at the bucket.
        if !path.exists() {
            if self.parcels.is_empty() {
                return Err(Hitch::Never("nothing was recorded".to_owned()));
            }
            self.make_room(stock)?;
            self.make(stock, store, &path).await?;
        }
        let file = Local { path: &path, sha256: None, taken: &|| stock.tell(News::Answered) };
        Ok(store.put_file(&self.file, Kind::Film, file).await?)
    }

    fn give_up(&self, reason: String, stock: &Stock) -> Record {
        // An empty recording was told already.
        if !self.parcels.is_empty() {
            let message = format!("no MP4 was made: {reason}. Slices and playlist are complete without it");
            stock.tell(News::Lost(Error::new(Code::UploaderFailed, message)));
        }
        Record::NotFilmed { file: self.file.clone(), reason }
    }

    /// Sees that the film fits onto the work volume, with one slice beside it where they have to be fetched.
    fn make_room(&self, stock: &Stock) -> Result<(), Hitch> {
        // What an earlier attempt left.
        stock.remove(&partial(&self.file))?;
        let sizes = || self.parcels.iter().map(|parcel| parcel.complete.bytes);
        let wanted = sizes().sum::<u64>() + sizes().max().unwrap_or(0);
        let room = || {
            let room = stock.volume.room();
            room.map_err(|error| Failure::new(Cause::LocalFile, format!("{}: {error}", stock.directory.display())))
        };
        if wanted > room()? {
            for parcel in &self.parcels {
                stock.remove(&parcel.file)?;
            }
        }
        let room = room()?;
        if wanted > room {
            let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
            return Err(Hitch::Never(format!(
                "it needs {} MB of the work volume, and {} MB are free: make the volume larger than the recording",
                megabytes(wanted),
                room / 1_000_000
            )));
        }
        Ok(())
    }

    /// Slices that are not here any more are fetched while the film is being made, one after the other.
    async fn make(&self, stock: &Stock, store: &Store, path: &Path) -> Result<(), Hitch> {
        let (count, partial, path) = (self.parcels.len(), stock.directory.join(partial(&self.file)), path.to_owned());
        let (give, mut take) = mpsc::channel(1);
        let called_off = CallOff::default();
        let stop = Arc::clone(&called_off.0);
        let making = log::spawn_blocking(move || {
            let slices = std::iter::from_fn(|| take.blocking_recv());
            make(slices, count, &partial, &path, &stop)
        });
        let fed = self.feed(give, stock, store).await;
        let made = making.await;
        fed?;
        made.unwrap_or_else(|_| Err(Hitch::Never("it failed in a way it should not have".to_owned())))
    }

    async fn feed(&self, give: mpsc::Sender<Slice>, stock: &Stock, store: &Store) -> Result<(), Hitch> {
        for parcel in &self.parcels {
            let slice = provide(parcel, stock, store).await?;
            // It may be long before the bucket gets anything.
            stock.tell(News::Answered);
            if give.send(slice).await.is_err() {
                // Who makes the film has failed, and says why.
                break;
            }
        }
        Ok(())
    }
}

/// Raises its flag when it goes, so that a thread does not work on for nobody.
#[derive(Default)]
struct CallOff(Arc<AtomicBool>);

impl Drop for CallOff {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Returns once the file is whole and durable under its name.
fn make(
    slices: impl Iterator<Item = Slice>,
    count: usize,
    partial: &Path,
    path: &Path,
    stop: &AtomicBool,
) -> Result<(), Hitch> {
    mp4::make(slices, count, partial, stop).map_err(|failure| Hitch::Never(failure.to_string()))?;
    let durable = File::open(partial).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(partial, path));
    durable.map_err(|error| Failure::new(Cause::LocalFile, format!("{}: {error}", path.display())).into())
}

fn partial(file: &str) -> String {
    format!("{file}.partial")
}

/// Whether the slice's file is on the work volume; what it holds was compared before it was put into the bucket.
fn is_here(parcel: &Parcel, stock: &Stock) -> bool {
    let about = std::fs::metadata(stock.directory.join(&parcel.file));
    about.is_ok_and(|about| about.len() == parcel.complete.bytes)
}

/// The slice on the work volume, brought back from the bucket if need be.
async fn provide(parcel: &Parcel, stock: &Stock, store: &Store) -> Result<Slice, Hitch> {
    let temporary = !is_here(parcel, stock);
    let path = stock.directory.join(&parcel.file);
    if temporary {
        fetch(parcel, store, &path).await?;
    }
    Ok(Slice { path, ticks: parcel.complete.ticks, temporary })
}

async fn fetch(parcel: &Parcel, store: &Store, path: &Path) -> Result<(), Hitch> {
    let Parcel { file, complete, .. } = parcel;
    let sha256 = store.get_file(file, complete.bytes, path).await.map_err(|failure| match failure.cause {
        Cause::AccessDenied => Hitch::Never(
            "slices that are not on the work volume any more would have to be read back, which the access key may not \
             (s3:GetObject)"
                .to_owned(),
        ),
        Cause::FileGone => Hitch::Never(format!("{file} is not in the bucket any more")),
        _ => failure.into(),
    })?;
    if sha256 == complete.sha256 {
        Ok(())
    } else {
        Err(Hitch::Never(format!("{file} in the bucket is not what was put there")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::books::ledger::tests::{begun, delivered, ledger, slice};

    #[test]
    fn an_order_is_open_until_the_film_is_there_or_given_up() {
        let wanted = || Record::Begun(Box::new(crate::books::record::Begun { mp4: true, ..begun() }));
        let done = Record::Filmed { file: "x_room.mp4".into(), bytes: 1, sha256: "a".into() };
        let given_up = Record::NotFilmed { file: "x_room.mp4".into(), reason: "no".into() };
        for (outcome, is_open) in [(None, true), (Some(done), false), (Some(given_up), false)] {
            let records = [wanted()].into_iter().chain(slice("a", 0, 1000)).chain([delivered("a")]).chain(outcome);
            let order = Order::of(&ledger(records)).unwrap();
            assert_eq!((order.file.as_str(), order.parcels.len(), order.is_open), ("x_room.mp4", 1, is_open));
        }
        assert_eq!(Order::of(&ledger([Record::Begun(Box::new(begun()))])), None);
    }
}
