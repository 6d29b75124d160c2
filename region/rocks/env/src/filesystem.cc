// A file system for RocksDB that encrypts whatever is written through it.
//
// Every file begins with a header of HEADER bytes, which RocksDB does not see. What a header says, and all that is done
// with keys, is Rust's affair (src/lib.rs), which this calls through a table of functions. What is decided here is which bytes
// are written where, and so that no byte of a key stream is laid over two different ones:
//
// - A file that is made, or written over (ReuseWritableFile), gets a new header, so a key stream of its own, before
//   anything else is written to it.
// - A file is written from its beginning to its end, once. After a write that failed, or a cut (Truncate), it takes no more:
//   what stands behind the place is not known, or was there before.
// - A file that is there is never written on (ReopenWritableFile): it can be cut, and no more.
// - Files cannot be written at random places, nor through memory maps. RocksDB would do the first only for files that are
//   taken in from elsewhere, and the second and direct writes only if options ask for it.

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"

using namespace ROCKSDB_NAMESPACE;

// As in RocksDB's db/c.cc; build.rs checks that.
struct rocksdb_env_t {
  Env* rep;
  bool is_default;
};

namespace {

// As FILE_HEADER_BYTES of geodynamo-seal; src/lib.rs checks that.
constexpr size_t HEADER = 128;
// What is encrypted at a time, in a buffer of the file's.
constexpr size_t CHUNK = 128 * 1024;
constexpr size_t ERROR_BYTES = 256;
// Of what form a file is that is read in sequence, as in src/reader.rs.
constexpr uint8_t FORM_PLAIN = 0, FORM_WAL = 1, FORM_MANIFEST = 2;

}  // namespace

extern "C" {

struct geodynamo_calls {
  // A cipher for a file that is written from its beginning, and its header. `over`: the header that is written over, or null.
  void* (*begin)(const void* seal, const uint8_t* over, uint8_t* header, char* error, size_t error_bytes);
  // The cipher of a header.
  void* (*open)(const void* seal, const uint8_t* header, char* error, size_t error_bytes);
  bool (*encrypt)(const void* cipher, uint64_t offset, uint8_t* bytes, size_t count);
  bool (*decrypt)(const void* cipher, uint64_t offset, uint8_t* bytes, size_t count);
  void (*free_cipher)(void* cipher);
  // What reads a file in sequence; takes the cipher. `form`: a FORM_ of below; `number` is a WAL's.
  void* (*reader)(void* cipher, uint8_t form, uint64_t number);
  bool (*read)(void* reader, uint8_t* bytes, size_t count);
  void (*skip)(void* reader, uint64_t count);
  void (*free_reader)(void* reader);
  void (*free_seal)(void* seal);
};

size_t geodynamo_header_bytes() { return HEADER; }
}

namespace {

IOStatus cipher_failed(const std::string& name) { return IOStatus::IOError(name, "the cipher fails"); }

// A cipher that is freed with its owner.
class Cipher {
 public:
  Cipher(const geodynamo_calls* calls, void* cipher) : calls_(calls), cipher_(cipher) {}
  Cipher(Cipher&& other) noexcept : calls_(other.calls_), cipher_(std::exchange(other.cipher_, nullptr)) {}
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;
  Cipher& operator=(Cipher&&) = delete;
  ~Cipher() {
    if (cipher_ != nullptr) calls_->free_cipher(cipher_);
  }
  bool encrypt(uint64_t offset, char* bytes, size_t count) const {
    return calls_->encrypt(cipher_, offset, reinterpret_cast<uint8_t*>(bytes), count);
  }
  bool decrypt(uint64_t offset, char* bytes, size_t count) const {
    return calls_->decrypt(cipher_, offset, reinterpret_cast<uint8_t*>(bytes), count);
  }

 private:
  const geodynamo_calls* calls_;
  void* cipher_;
};

class SealedSequentialFile : public FSSequentialFileOwnerWrapper {
 public:
  SealedSequentialFile(std::unique_ptr<FSSequentialFile>&& file, const std::string& name, const geodynamo_calls* calls,
                       void* reader)
      : FSSequentialFileOwnerWrapper(std::move(file)), name_(name), calls_(calls), reader_(reader) {}
  ~SealedSequentialFile() override { calls_->free_reader(reader_); }

  IOStatus Read(size_t n, const IOOptions& options, Slice* result, char* scratch, IODebugContext* dbg) override {
    IOStatus status = target()->Read(n, options, result, scratch, dbg);
    if (!status.ok() || result->empty()) return status;
    if (result->data() != scratch) {
      memmove(scratch, result->data(), result->size());
      *result = Slice(scratch, result->size());
    }
    return calls_->read(reader_, reinterpret_cast<uint8_t*>(scratch), result->size()) ? status : cipher_failed(name_);
  }
  IOStatus Skip(uint64_t n) override {
    IOStatus status = target()->Skip(n);
    if (status.ok()) calls_->skip(reader_, n);
    return status;
  }
  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return target()->InvalidateCache(offset == 0 && length == 0 ? 0 : offset + HEADER, length);
  }
  IOStatus PositionedRead(uint64_t, size_t, const IOOptions&, Slice*, char*, IODebugContext*) override {
    return IOStatus::NotSupported(name_, "encrypted files are not read directly");
  }

 private:
  const std::string name_;
  const geodynamo_calls* calls_;
  void* reader_;
};

class SealedRandomAccessFile : public FSRandomAccessFileOwnerWrapper {
 public:
  SealedRandomAccessFile(std::unique_ptr<FSRandomAccessFile>&& file, const std::string& name, Cipher&& cipher)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), name_(name), cipher_(std::move(cipher)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* dbg) const override {
    IOStatus status = target()->Read(offset + HEADER, n, options, result, scratch, dbg);
    return status.ok() ? decrypt(offset, result, scratch) : status;
  }
  IOStatus MultiRead(FSReadRequest* requests, size_t count, const IOOptions& options, IODebugContext* dbg) override {
    for (size_t i = 0; i < count; ++i) requests[i].offset += HEADER;
    IOStatus status = target()->MultiRead(requests, count, options, dbg);
    for (size_t i = 0; i < count; ++i) {
      FSReadRequest& request = requests[i];
      request.offset -= HEADER;
      if (status.ok() && request.status.ok()) {
        request.status = decrypt(request.offset, &request.result, request.scratch);
      }
    }
    return status;
  }
  IOStatus Prefetch(uint64_t offset, size_t n, const IOOptions& options, IODebugContext* dbg) override {
    return target()->Prefetch(offset + HEADER, n, options, dbg);
  }
  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return target()->InvalidateCache(offset == 0 && length == 0 ? 0 : offset + HEADER, length);
  }
  // Not the other file's, which would give what is encrypted.
  IOStatus ReadAsync(FSReadRequest& request, const IOOptions& options, std::function<void(FSReadRequest&, void*)> done,
                     void* argument, void** handle, IOHandleDeleter* deleter, IODebugContext* dbg) override {
    return FSRandomAccessFile::ReadAsync(request, options, std::move(done), argument, handle, deleter, dbg);
  }
  bool SubmitReadAsync(FSReadRequest& request, const IOOptions& options, std::function<void(FSReadRequest&)> done,
                       IODebugContext* dbg) override {
    return FSRandomAccessFile::SubmitReadAsync(request, options, std::move(done), dbg);
  }
  IOStatus GetFileSize(uint64_t* size) override {
    IOStatus status = target()->GetFileSize(size);
    if (status.ok()) *size -= std::min<uint64_t>(*size, HEADER);
    return status;
  }
  IOStatus GetFileOpenMetadata(std::string*) override {
    return IOStatus::NotSupported(name_, "an encrypted file has none");
  }

 private:
  IOStatus decrypt(uint64_t offset, Slice* result, char* scratch) const {
    if (result->empty()) return IOStatus::OK();
    if (result->data() != scratch) {
      memmove(scratch, result->data(), result->size());
      *result = Slice(scratch, result->size());
    }
    return cipher_.decrypt(offset, scratch, result->size()) ? IOStatus::OK() : cipher_failed(name_);
  }

  const std::string name_;
  const Cipher cipher_;
};

class SealedWritableFile : public FSWritableFileOwnerWrapper {
 public:
  SealedWritableFile(std::unique_ptr<FSWritableFile>&& file, const std::string& name, Cipher&& cipher)
      : FSWritableFileOwnerWrapper(std::move(file)), name_(name), cipher_(std::move(cipher)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    if (is_ended_) return IOStatus::IOError(name_, "an encrypted file takes no more after a write that failed, or a cut");
    if (buffer_ == nullptr) {
      buffer_.reset(new (std::nothrow) char[CHUNK]);
      if (buffer_ == nullptr) return IOStatus::IOError(name_, "no memory for encryption");
    }
    for (size_t at = 0; at < data.size();) {
      const size_t count = std::min(data.size() - at, CHUNK);
      memcpy(buffer_.get(), data.data() + at, count);
      // From here on this part of the key stream is used up, whatever becomes of the write.
      is_ended_ = true;
      if (!cipher_.encrypt(written_, buffer_.get(), count)) return cipher_failed(name_);
      IOStatus status = target()->Append(Slice(buffer_.get(), count), options, dbg);
      if (!status.ok()) return status;
      is_ended_ = false;
      written_ += count;
      at += count;
    }
    return IOStatus::OK();
  }
  // A checksum of the plain bytes would be none of those that are written.
  IOStatus Append(const Slice& data, const IOOptions& options, const DataVerificationInfo&,
                  IODebugContext* dbg) override {
    return Append(data, options, dbg);
  }
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported(name_, "encrypted files are not written directly");
  }
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, const DataVerificationInfo&,
                            IODebugContext*) override {
    return IOStatus::NotSupported(name_, "encrypted files are not written directly");
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* dbg) override {
    is_ended_ = is_ended_ || size != written_;
    return target()->Truncate(size + HEADER, options, dbg);
  }
  uint64_t GetFileSize(const IOOptions& options, IODebugContext* dbg) override {
    const uint64_t size = target()->GetFileSize(options, dbg);
    return size - std::min<uint64_t>(size, HEADER);
  }
  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return target()->InvalidateCache(offset == 0 && length == 0 ? 0 : offset + HEADER, length);
  }
  IOStatus RangeSync(uint64_t offset, uint64_t count, const IOOptions& options, IODebugContext* dbg) override {
    // The header goes with what comes first.
    return offset == 0 ? target()->RangeSync(0, count + HEADER, options, dbg)
                       : target()->RangeSync(offset + HEADER, count, options, dbg);
  }
  void PrepareWrite(size_t offset, size_t count, const IOOptions& options, IODebugContext* dbg) override {
    target()->PrepareWrite(offset + HEADER, count, options, dbg);
  }
  IOStatus Allocate(uint64_t offset, uint64_t count, const IOOptions& options, IODebugContext* dbg) override {
    return target()->Allocate(offset + HEADER, count, options, dbg);
  }
  void SetIOPriority(Env::IOPriority priority) override {
    FSWritableFile::SetIOPriority(priority);
    target()->SetIOPriority(priority);
  }

  // For a file that was there before.
  void end() { is_ended_ = true; }

 private:
  const std::string name_;
  const Cipher cipher_;
  std::unique_ptr<char[]> buffer_;
  uint64_t written_ = 0;
  // Whether it takes no more.
  bool is_ended_ = false;
};

// The form of a file, and a WAL's number: its name is that and ".log".
uint8_t form_of(const std::string& path, uint64_t* number) {
  const size_t slash = path.find_last_of('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.rfind("MANIFEST-", 0) == 0) return FORM_MANIFEST;
  const size_t dot = name.find('.');
  if (dot == std::string::npos || dot == 0 || dot > 18 || name.substr(dot) != ".log") return FORM_PLAIN;
  *number = 0;
  for (size_t i = 0; i < dot; ++i) {
    if (name[i] < '0' || name[i] > '9') return FORM_PLAIN;
    *number = *number * 10 + static_cast<uint64_t>(name[i] - '0');
  }
  return FORM_WAL;
}

class SealedFileSystem : public FileSystemWrapper {
 public:
  SealedFileSystem(const std::shared_ptr<FileSystem>& base, const geodynamo_calls* calls, void* seal)
      : FileSystemWrapper(base), calls_(calls), seal_(seal) {}
  ~SealedFileSystem() override { calls_->free_seal(seal_); }

  const char* Name() const override { return "GeodynamoSealedFileSystem"; }

  IOStatus NewSequentialFile(const std::string& name, const FileOptions& options,
                             std::unique_ptr<FSSequentialFile>* result, IODebugContext* dbg) override {
    result->reset();
    if (options.use_mmap_reads || options.use_direct_reads) return unsupported(name);
    std::unique_ptr<FSSequentialFile> file;
    IOStatus status = target()->NewSequentialFile(name, options, &file, dbg);
    if (!status.ok()) return status;
    char header[HEADER];
    size_t had = 0;
    while (status.ok() && had < HEADER) {
      Slice part;
      status = file->Read(HEADER - had, options.io_options, &part, header + had, dbg);
      if (!status.ok() || part.empty()) break;
      if (part.data() != header + had) memmove(header + had, part.data(), part.size());
      had += part.size();
    }
    if (!status.ok()) return status;
    uint64_t number = 0;
    const uint8_t form = form_of(name, &number);
    // A file whose header was never written has nothing in it: it is as an empty one. The machine may have failed while a
    // WAL was new.
    const bool unwritten = had < HEADER || std::all_of(header, header + HEADER, [](char byte) { return byte == 0; });
    if (had == 0 || (form == FORM_WAL && unwritten)) {
      status = target()->NewSequentialFile("/dev/null", options, &file, dbg);
      if (status.ok()) *result = std::move(file);
      return status;
    }
    std::string error;
    void* cipher = had == HEADER ? open(header, &error) : nullptr;
    if (cipher == nullptr) return IOStatus::Corruption(name, had == HEADER ? error : "it is shorter than a header");
    result->reset(new SealedSequentialFile(std::move(file), name, calls_, calls_->reader(cipher, form, number)));
    return status;
  }

  IOStatus NewRandomAccessFile(const std::string& name, const FileOptions& options,
                               std::unique_ptr<FSRandomAccessFile>* result, IODebugContext* dbg) override {
    result->reset();
    if (options.use_mmap_reads || options.use_direct_reads) return unsupported(name);
    std::unique_ptr<FSRandomAccessFile> file;
    IOStatus status = target()->NewRandomAccessFile(name, options, &file, dbg);
    if (!status.ok()) return status;
    char header[HEADER];
    Slice had;
    status = file->Read(0, HEADER, options.io_options, &had, header, dbg);
    if (!status.ok()) return status;
    if (had.size() < HEADER) return IOStatus::Corruption(name, "it is shorter than a header");
    std::string error;
    void* cipher = open(had.data(), &error);
    if (cipher == nullptr) return IOStatus::Corruption(name, error);
    result->reset(new SealedRandomAccessFile(std::move(file), name, Cipher(calls_, cipher)));
    return status;
  }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>* result,
                           IODebugContext* dbg) override {
    result->reset();
    if (options.use_mmap_writes || options.use_direct_writes) return unsupported(name);
    std::unique_ptr<FSWritableFile> file;
    IOStatus status = target()->NewWritableFile(name, options, &file, dbg);
    return status.ok() ? begin(name, options, std::move(file), nullptr, result, dbg) : status;
  }

  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* result, IODebugContext* dbg) override {
    result->reset();
    if (options.use_mmap_writes || options.use_direct_writes) return unsupported(name);
    std::unique_ptr<FSWritableFile> file;
    IOStatus status = target()->ReopenWritableFile(name, options, &file, dbg);
    if (!status.ok()) return status;
    const bool is_new = file->GetFileSize(options.io_options, dbg) == 0;
    if (is_new) return begin(name, options, std::move(file), nullptr, result, dbg);
    auto sealed = std::make_unique<SealedWritableFile>(std::move(file), name, Cipher(calls_, nullptr));
    sealed->end();
    *result = std::move(sealed);
    return status;
  }

  IOStatus ReuseWritableFile(const std::string& name, const std::string& old_name, const FileOptions& options,
                             std::unique_ptr<FSWritableFile>* result, IODebugContext* dbg) override {
    result->reset();
    if (options.use_mmap_writes || options.use_direct_writes) return unsupported(name);
    char over[HEADER];
    Slice had;
    std::unique_ptr<FSRandomAccessFile> reader;
    IOStatus status = target()->NewRandomAccessFile(old_name, options, &reader, dbg);
    if (status.ok()) status = reader->Read(0, HEADER, options.io_options, &had, over, dbg);
    if (!status.ok()) return status;
    std::unique_ptr<FSWritableFile> file;
    status = target()->ReuseWritableFile(name, old_name, options, &file, dbg);
    if (!status.ok()) return status;
    return begin(name, options, std::move(file), had.size() == HEADER ? had.data() : nullptr, result, dbg);
  }

  IOStatus NewRandomRWFile(const std::string& name, const FileOptions&, std::unique_ptr<FSRandomRWFile>*,
                           IODebugContext*) override {
    return unsupported(name);
  }
  IOStatus NewMemoryMappedFileBuffer(const std::string& name, std::unique_ptr<MemoryMappedFileBuffer>*) override {
    return unsupported(name);
  }
  IOStatus Truncate(const std::string& name, size_t size, const IOOptions& options, IODebugContext* dbg) override {
    return target()->Truncate(name, size + HEADER, options, dbg);
  }
  IOStatus GetFileSize(const std::string& name, const IOOptions& options, uint64_t* size,
                       IODebugContext* dbg) override {
    IOStatus status = target()->GetFileSize(name, options, size, dbg);
    if (status.ok()) *size -= std::min<uint64_t>(*size, HEADER);
    return status;
  }
  IOStatus GetChildrenFileAttributes(const std::string& folder, const IOOptions& options,
                                     std::vector<FileAttributes>* result, IODebugContext* dbg) override {
    IOStatus status = target()->GetChildrenFileAttributes(folder, options, result, dbg);
    if (status.ok()) {
      for (FileAttributes& file : *result) file.size_bytes -= std::min<uint64_t>(file.size_bytes, HEADER);
    }
    return status;
  }
  // RocksDB's own messages name keys: its default writes them through NewWritableFile, unlike the other file system's.
  IOStatus NewLogger(const std::string& name, const IOOptions& options, std::shared_ptr<Logger>* result,
                     IODebugContext* dbg) override {
    return FileSystem::NewLogger(name, options, result, dbg);
  }
  void SupportedOps(int64_t& supported) override {
    target()->SupportedOps(supported);
    supported &= int64_t{1} << FSSupportedOps::kFSPrefetch;
  }

 private:
  static IOStatus unsupported(const std::string& name) {
    return IOStatus::NotSupported(name, "an encrypted file is not used this way");
  }

  void* open(const char* header, std::string* error) const {
    char text[ERROR_BYTES] = {0};
    void* cipher = calls_->open(seal_, reinterpret_cast<const uint8_t*>(header), text, ERROR_BYTES);
    if (cipher == nullptr) *error = text;
    return cipher;
  }

  // Writes a new header to a file that stands at its beginning.
  IOStatus begin(const std::string& name, const FileOptions& options, std::unique_ptr<FSWritableFile>&& file,
                 const char* over, std::unique_ptr<FSWritableFile>* result, IODebugContext* dbg) const {
    char header[HEADER];
    char text[ERROR_BYTES] = {0};
    void* cipher = calls_->begin(seal_, reinterpret_cast<const uint8_t*>(over), reinterpret_cast<uint8_t*>(header), text,
                                ERROR_BYTES);
    if (cipher == nullptr) return IOStatus::IOError(name, text);
    auto sealed = std::make_unique<SealedWritableFile>(std::move(file), name, Cipher(calls_, cipher));
    IOStatus status = sealed->target()->Append(Slice(header, HEADER), options.io_options, dbg);
    if (status.ok()) {
      *result = std::move(sealed);
    } else {
      // Half a header would be taken for a damaged one; what was in a file that is written over is of no use any more.
      sealed->target()->Truncate(0, options.io_options, dbg).PermitUncheckedError();
    }
    return status;
  }

  const geodynamo_calls* const calls_;
  void* const seal_;
};

}  // namespace

// An environment as RocksDB's C interface has it, over the default one. Takes `seal`; `calls` stays where it is for ever, since
// files may outlive their file system.
extern "C" rocksdb_env_t* geodynamo_sealed_env(const geodynamo_calls* calls, void* seal) {
  auto files = std::make_shared<SealedFileSystem>(FileSystem::Default(), calls, seal);
  return new rocksdb_env_t{NewCompositeEnv(files).release(), false};
}
