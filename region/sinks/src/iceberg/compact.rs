//! Compaction: small files, and those of which much is deleted, are written anew as fewer.

use super::{FILE_BYTES, Open, Result, files, schema::Row, state::DataFile};

/// How many small files there are before they are written anew as one.
const SMALL_MAX: usize = 8;
/// Bytes of rows in memory that are written anew at a time.
const GROUP_BYTES: u64 = 2 * FILE_BYTES as u64;
/// A file is written anew when so much of it is deleted, in percent.
const DELETED_PERCENT_MAX: u64 = 30;

/// Which files to write anew, by their places, if some are to be.
pub(super) fn group(files: &[DataFile]) -> Option<Vec<usize>> {
    let live = |file: &DataFile| {
        let deleted = file.deletes.as_ref().map_or(0, |deletes| deletes.rows);
        file.raw * file.file.rows.saturating_sub(deleted) / file.file.rows.max(1)
    };
    let is_sparse = |file: &DataFile| {
        let deleted = file.deletes.as_ref().map_or(0, |deletes| deletes.rows);
        deleted * 100 > file.file.rows * DELETED_PERCENT_MAX
    };
    let is_small = |file: &DataFile| live(file) < FILE_BYTES as u64 / 2;
    let small = files.iter().filter(|file| is_small(file)).count();
    let large_sparse = files.iter().any(|file| is_sparse(file) && !is_small(file));
    if small < SMALL_MAX && !large_sparse {
        return None;
    }
    let wanted = |file: &DataFile| is_sparse(file) || (small >= SMALL_MAX && is_small(file));
    let mut places: Vec<usize> = (0..files.len())
        .filter(|place| files.get(*place).is_some_and(wanted))
        .collect();
    // The smallest first: files that have grown are not written again for each that has not.
    places.sort_by_key(|place| files.get(*place).map_or(0, |file| file.raw));
    let (mut bytes, mut count) = (0, 0);
    for place in &places {
        bytes += files.get(*place).map_or(0, |file| file.raw);
        if bytes > GROUP_BYTES && count > 0 {
            break;
        }
        count += 1;
    }
    places.truncate(count);
    (!places.is_empty()).then_some(places)
}

impl Open {
    /// Writes files anew. What the copy has stays the same.
    pub(super) async fn compact(&mut self, places: &[usize]) -> Result<()> {
        let columns = self.columns()?.clone();
        let id = super::new_id();
        let mut next = self.state.clone();
        let (chosen, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut next.files)
            .into_iter()
            .enumerate()
            .partition(|(place, _)| places.contains(place));
        let removed: Vec<DataFile> = chosen.into_iter().map(|(_, file)| file).collect();
        next.files = rest.into_iter().map(|(_, file)| file).collect();
        let (mut rows, mut bytes, mut number, mut total): (Vec<Row>, usize, usize, u64) = (Vec::new(), 0, 0, 0);
        for file in &removed {
            let deleted = self.known(file).await?.deleted;
            let content = self.store.get(&file.file.name).await?;
            let of_file = columns.clone();
            let reading = tokio::task::spawn_blocking(move || files::read_rows(&of_file, content));
            let read = reading.await.map_err(super::told)??;
            let live = (0_u32..)
                .zip(read)
                .filter(|(place, _)| deleted.binary_search(place).is_err());
            for (_, row) in live {
                bytes += row.bytes();
                total += 1;
                rows.push(row);
                if bytes >= FILE_BYTES {
                    let full = std::mem::take(&mut rows);
                    next.files.push(self.write_rows(&columns, full, id, number).await?);
                    (bytes, number) = (0, number + 1);
                }
            }
        }
        if !rows.is_empty() {
            next.files.push(self.write_rows(&columns, rows, id, number).await?);
        }
        for file in &removed {
            self.known.remove(&file.file.name);
        }
        let changed = [("added-records", total), ("deleted-data-files", removed.len() as u64)];
        self.commit(next, id, "replace", &changed, &removed).await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::state::File, *};

    fn file(raw: u64, rows: u64, deleted: u64) -> DataFile {
        let file = |rows| File {
            name: "data/x.parquet".into(),
            rows,
            bytes: raw,
            snapshot: 1,
            sequence: 1,
        };
        DataFile {
            file: file(rows),
            raw,
            deletes: (deleted > 0).then(|| file(deleted)),
        }
    }

    #[test]
    fn small_and_sparse_files_are_written_anew() {
        let mut files = vec![file(FILE_BYTES as u64, 100, 0), file(FILE_BYTES as u64, 100, 10)];
        assert_eq!(group(&files), None);
        files.extend((0..7).map(|_| file(1000, 10, 0)));
        assert_eq!(group(&files), None);
        files.push(file(900, 10, 0));
        assert_eq!(group(&files), Some(vec![9, 2, 3, 4, 5, 6, 7, 8]));
        let sparse = [file(FILE_BYTES as u64, 100, 0), file(FILE_BYTES as u64, 100, 40)];
        assert_eq!(group(&sparse), Some(vec![1]));
        let many: Vec<_> = (0..10).map(|_| file(FILE_BYTES as u64 / 2 - 1, 10, 0)).collect();
        assert_eq!(group(&many).unwrap().len(), 4);
    }
}
