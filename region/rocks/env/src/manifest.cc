// Reading the manifest of a store that is not open, and taking a damaged table file out of one.
//
// RocksDB's interface can drop files only by ranges of keys, and none of level 0; its own tool for this (`ldb
// unsafe_remove_sst_file`) edits the manifest of a closed store with the class that is used here. No table file is read.

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "db/version_util.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

using namespace ROCKSDB_NAMESPACE;

// As in RocksDB's db/c.cc; build.rs checks that.
struct rocksdb_env_t {
  Env* rep;
  bool is_default;
};

namespace {

// A store that is not open: the one in `path`, of which `family` has files in the folder `second`, too, if that is not null.
struct Place {
  std::string path;
  const char* family;
  const char* second;
  Env* env;
};

DBOptions options_of(const Place& place) {
  DBOptions options;
  options.env = place.env;
  return options;
}

Status recover(const Place& place, OfflineManifestWriter* writer) {
  std::vector<std::string> names;
  Status status = DB::ListColumnFamilies(options_of(place), place.path, &names);
  if (!status.ok()) return status;
  std::vector<ColumnFamilyDescriptor> families;
  for (const std::string& name : names) {
    ColumnFamilyOptions of;
    if (place.second != nullptr && name == place.family) {
      of.cf_paths = {DbPath(place.path, 0), DbPath(place.second, std::numeric_limits<uint64_t>::max())};
    }
    families.emplace_back(name, of);
  }
  return writer->Recover(families);
}

Status needed_log(const Place& place, uint64_t* number) {
  OfflineManifestWriter writer(options_of(place), place.path);
  Status status = recover(place, &writer);
  if (status.ok()) *number = writer.Versions().min_log_number_to_keep();
  return status;
}

Status drop(const Place& place, uint64_t number) {
  OfflineManifestWriter writer(options_of(place), place.path);
  Status status = recover(place, &writer);
  if (!status.ok()) return status;
  int level = -1;
  FileMetaData* metadata = nullptr;
  ColumnFamilyData* data = nullptr;
  status = writer.Versions().GetMetadataForFile(number, &level, &metadata, &data);
  // It is out of the store already.
  if (status.IsNotFound()) return Status::OK();
  if (!status.ok()) return status;
  VersionEdit edit;
  edit.SetColumnFamily(data->GetID());
  edit.DeleteFile(level, number);
  std::unique_ptr<FSDirectory> folder;
  status = place.env->GetFileSystem()->NewDirectory(place.path, IOOptions(), &folder, nullptr);
  if (!status.ok()) return status;
  return writer.LogAndApply(ReadOptions(), WriteOptions(), data, &edit, folder.get());
}

bool said(const Status& status, char* error, size_t error_bytes) {
  if (status.ok()) return true;
  std::string text = status.ToString();
  size_t count = std::min(text.size(), error_bytes - 1);
  std::copy_n(text.begin(), count, error);
  error[count] = 0;
  return false;
}

}  // namespace

// Drops the table file of a number from the store in `path`, which nobody has open. `second`: where else files of `family` lie,
// or null. `env`: the store's, or null for the default one. True if it is not in the store any more; else `error` says why.
extern "C" bool geodynamo_drop_table(const char* path, const char* family, const char* second, rocksdb_env_t* env,
                                     uint64_t number, char* error, size_t error_bytes) {
  Place place{path, family, second, env == nullptr ? Env::Default() : env->rep};
  return said(drop(place, number), error, error_bytes);
}

// The same for the number of the first write-ahead log that the store's manifest needs, which it puts into `number`.
extern "C" bool geodynamo_needed_log(const char* path, const char* family, const char* second, rocksdb_env_t* env,
                                     uint64_t* number, char* error, size_t error_bytes) {
  Place place{path, family, second, env == nullptr ? Env::Default() : env->rep};
  return said(needed_log(place, number), error, error_bytes);
}
