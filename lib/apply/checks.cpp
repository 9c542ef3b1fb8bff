// SPDX-License-Identifier: Apache-2.0
// Runs checks by the probe engine: echoes and connections in one loop, ARP in another beside it. A namespace or device that is not
// there (yet, or any more) is a failed check with that as its answer, and no error. May include: core, model, netlink, probe.
#include "apply/checks.hpp"

#include <algorithm>
#include <map>
#include <system_error>
#include <thread>

#include "weft/probe/probe.hpp"

namespace weft::apply {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds patience{1000}, patience_with_good{3000};

// Bytes of the headers of IP and of ICMP.
std::uint32_t headers(const ip_address& target) { return target.is_v6() ? 40 + 8 : 20 + 8; }

class run {
public:
    run(const place& where, const std::vector<host_check>& checks, const std::vector<check_outcome>& before) : where_(where) {
        for (std::size_t i = 0; i < checks.size(); ++i) {
            out_.push_back({checks[i], false, {}});
            const bool was_good = i < before.size() && before[i].passed;
            const auto* from = open(checks[i].space, out_.back());
            if (from == nullptr) continue;
            if (checks[i].kind == "arp") ask_arp(i, *from, was_good ? patience_with_good : patience);
            else ask(i, *from, was_good ? patience_with_good : patience);
        }
    }

    std::vector<check_outcome> all() {
        std::thread beside;
        try {
            beside = std::thread([&] { arps(); });
        } catch (const std::system_error&) {
            arps();  // with no thread to be had it takes longer
        }
        others();
        if (beside.joinable()) beside.join();
        return std::move(out_);
    }

private:
    const netlink::namespace_handle* open(const std::string& space, check_outcome& out) {
        const auto& name = space.empty() ? where_.netns : space;
        if (const auto at = handles_.find(name); at != handles_.end()) return &at->second;
        auto handle = netlink::namespace_handle::open(name);
        if (!handle) {
            out.answer = handle.error().message();
            return nullptr;
        }
        return &handles_.emplace(name, std::move(*handle)).first->second;
    }

    void ask_arp(std::size_t i, const netlink::namespace_handle& from, milliseconds bound) {
        arp_of_.push_back(i);
        arp_requests_.push_back({&from, out_[i].check.device, out_[i].check.target, bound, true});
    }

    void ask(std::size_t i, const netlink::namespace_handle& from, milliseconds bound) {
        auto& check = out_[i].check;
        probe::request r;
        r.from = &from;
        r.target = check.target;
        r.patience = bound;
        if (check.kind == "tcp") {
            r.kind = probe::kind::tcp;
            r.port = check.port;
        } else if (check.full_mtu) {
            if (check.mtu == 0) {
                const auto mtu = probe::way_mtu(from, check.target);
                if (!mtu) {
                    out_[i].answer = mtu.error().message();
                    return;
                }
                check.mtu = *mtu;
            }
            r.dont_fragment = true;
            r.size = static_cast<std::uint16_t>(std::min<std::uint32_t>(check.mtu, 65535) - headers(check.target));
        }
        of_.push_back(i);
        requests_.push_back(r);
    }

    void others() {
        const auto answers = probe::run(requests_);
        for (std::size_t n = 0; n < of_.size(); ++n) {
            auto& out = out_[of_[n]];
            if (!answers) {
                out.answer = answers.error().message();
                continue;
            }
            const auto& a = (*answers)[n];
            out.passed = a.replied;
            if (a.replied) out.answer = "answered within " + a.detail;
            else if (a.refused) out.answer = "refused";
            else if (a.sent == 0) out.answer = a.detail;
            else out.answer = "no answer to " + std::to_string(a.sent) + " packets" + (a.detail.empty() ? "" : "; " + a.detail);
        }
    }

    // One device that is missing keeps no other from being asked.
    void arps() {
        auto answers = probe::arp(arp_requests_);
        for (std::size_t n = 0; n < arp_of_.size(); ++n) {
            auto& out = out_[arp_of_[n]];
            auto alone = answers ? result<std::vector<probe::arp_answer>>(std::vector{(*answers)[n]}) : probe::arp(std::span(&arp_requests_[n], 1));
            if (!alone) {
                out.answer = alone.error().message();
                continue;
            }
            const auto& a = alone->front();
            out.passed = !a.macs.empty();
            out.answer = out.passed ? "answered by " + a.macs.front().to_string() : "no answer to " + std::to_string(a.sent) + " packets";
        }
    }

    const place& where_;
    std::map<std::string, netlink::namespace_handle> handles_;
    std::vector<check_outcome> out_;
    std::vector<std::size_t> of_, arp_of_;
    std::vector<probe::request> requests_;
    std::vector<probe::arp_request> arp_requests_;
};

}  // namespace

std::vector<check_outcome> run_checks(const place& where, const std::vector<host_check>& checks, const std::vector<check_outcome>& before) {
    return run(where, checks, before).all();
}

std::vector<check_outcome> failed_now(const std::vector<check_outcome>& before, const std::vector<check_outcome>& after) {
    std::vector<check_outcome> out;
    for (std::size_t i = 0; i < after.size() && i < before.size(); ++i)
        if (before[i].passed && !after[i].passed) out.push_back(after[i]);
    return out;
}

std::string to_string(const check_outcome& o) { return o.check.to_string() + ": " + o.answer; }

result<void> change_checks::after() {
    still_failed_.clear();
    if (before_.empty()) return {};
    const auto after = run_checks(where_, checks_, before_);
    for (std::size_t i = 0; i < after.size(); ++i)
        if (!before_[i].passed && !after[i].passed) still_failed_.push_back(to_string(after[i]));
    const auto failed = failed_now(before_, after);
    if (failed.empty()) return {};
    error e{errc::check_failed, "check", failed.front().check.to_string(), failed.front().answer + ", although it passed before", 0};
    for (std::size_t i = 1; i < failed.size(); ++i) e.detail += "; also: " + to_string(failed[i]);
    return e;
}

}  // namespace weft::apply
