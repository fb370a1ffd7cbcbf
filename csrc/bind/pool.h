// Threads that a session keeps, as the core's workers: started with its first run, joined when it goes.
#pragma once

#include <bitpress/threads.h>
#include <unistd.h>

#include <memory>

#include "workers.h"

namespace bitpress::bind {

class Pool {
  public:
    explicit Pool(unsigned count) noexcept : count_(count < 1 ? 1 : count < max_workers ? count : max_workers) {}
    ~Pool() {
        if (threads_ != nullptr && process_ == getpid()) bp_threads_stop(threads_);
    }
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    unsigned count() const noexcept { return count_; }

    // A child of fork() has the memory but not the threads: it starts its own, and the memory stays as it is.
    Workers workers() {
        if (count_ == 1) return one_worker;
        if (threads_ == nullptr || process_ != getpid()) {
            if (threads_ != nullptr) (void)memory_.release();
            memory_.reset(new std::uint8_t[bp_threads_bytes(count_)]);
            threads_ = bp_threads_start(memory_.get(), count_);
            process_ = getpid();
            if (threads_ == nullptr) return one_worker;
            workers_ = bp_threads_workers(threads_);
        }
        return {workers_.count, &workers_, run};
    }

  private:
    static void run(void* self, unsigned parts, Workers::Task task, void* argument) noexcept {
        const bp_workers& workers = *static_cast<const bp_workers*>(self);
        workers.run(workers.self, parts, task, argument);
    }

    unsigned count_;
    pid_t process_ = 0;
    std::unique_ptr<std::uint8_t[]> memory_;
    bp_threads* threads_ = nullptr;
    bp_workers workers_ = {};
};

}  // namespace bitpress::bind
