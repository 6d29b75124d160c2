// Taking a damaged table file out of a store that is not open.
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

Status drop(const std::string& path, const char* family, const char* second, Env* env, uint64_t number) {
  DBOptions options;
  options.env = env;
  std::vector<std::string> names;
  Status status = DB::ListColumnFamilies(options, path, &names);
  if (!status.ok()) return status;
  std::vector<ColumnFamilyDescriptor> families;
  for (const std::string& name : names) {
    ColumnFamilyOptions of;
    if (second != nullptr && name == family) {
      of.cf_paths = {DbPath(path, 0), DbPath(second, std::numeric_limits<uint64_t>::max())};
    }
    families.emplace_back(name, of);
  }
  OfflineManifestWriter writer(options, path);
  status = writer.Recover(families);
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
  status = env->GetFileSystem()->NewDirectory(path, IOOptions(), &folder, nullptr);
  if (!status.ok()) return status;
  return writer.LogAndApply(ReadOptions(), WriteOptions(), data, &edit, folder.get());
}

}  // namespace

// Drops the table file of a number from the store in `path`, which nobody has open. `second`: where else files of `family` lie,
// or null. `env`: the store's, or null for the default one. True if it is not in the store any more; else `error` says why.
extern "C" bool geodynamo_drop_table(const char* path, const char* family, const char* second, rocksdb_env_t* env,
                                     uint64_t number, char* error, size_t error_bytes) {
  Status status = drop(path, family, second, env == nullptr ? Env::Default() : env->rep, number);
  if (status.ok()) return true;
  std::string text = status.ToString();
  size_t count = std::min(text.size(), error_bytes - 1);
  std::copy_n(text.begin(), count, error);
  error[count] = 0;
  return false;
}
