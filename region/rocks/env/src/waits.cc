// What a thread waits for within RocksDB: RocksDB notes it for each thread that asks, and its C interface tells only a part.

#include "rocksdb/iostats_context.h"
#include "rocksdb/perf_context.h"
#include "rocksdb/perf_level.h"

extern "C" {

// Whether this thread's waits are noted from now on.
void geodynamo_note_waits(bool on) {
  rocksdb::SetPerfLevel(on ? rocksdb::PerfLevel::kEnableTimeExceptForMutex
                           : rocksdb::PerfLevel::kDisable);
}

// Nanoseconds that this thread has waited while they were noted: for syncs of files, and for compaction to catch up.
void geodynamo_waits(uint64_t* synced, uint64_t* delayed) {
  *synced = rocksdb::get_iostats_context()->fsync_nanos;
  *delayed = rocksdb::get_perf_context()->write_delay_time;
}
}
