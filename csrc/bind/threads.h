// Threads of this call's own as the core's workers: started for one piece of work, joined at its end.
#pragma once

#include <system_error>
#include <thread>

#include "workers.h"

namespace bitpress::bind {

// At most `threads` of them (the caller's counts), and none for less than `grain` bytes of work.
class Threads {
  public:
    static constexpr std::size_t grain = 65536;  // decoded bytes that take about as long as to start a thread

    Threads(unsigned threads, std::size_t bytes) noexcept {
        const std::size_t useful = bytes / grain;
        const std::size_t most = threads < max_workers ? threads : max_workers;
        workers_.count = static_cast<unsigned>(useful < 1 || most < 1 ? 1 : useful < most ? useful : most);
        workers_.run = run;
    }
    const Workers& workers() const noexcept { return workers_; }

  private:
    // Where no thread can be had, the caller does that part.
    static void run(void*, unsigned parts, Workers::Task task, void* argument) noexcept {
        std::thread others[max_workers];
        unsigned started = 1;
        try {
            for (; started < parts; ++started) others[started] = std::thread(task, argument, started);
        } catch (const std::system_error&) {
            for (unsigned i = started; i < parts; ++i) task(argument, i);
        }
        task(argument, 0);
        for (unsigned i = 1; i < started; ++i) others[i].join();
    }

    Workers workers_;
};

}  // namespace bitpress::bind
