// SPDX-License-Identifier: Apache-2.0
// Implements weft/ovs/flows.hpp: canonical text through the codec, dumps, and changes in one atomic bundle. No state but the
// counter of writes. Every error of the switch names the flow that it answers.
#include "weft/ovs/flows.hpp"

#include "core/fault.hpp"
#include "ovs/flow_codec.h"
#include "ovs/idl_shim.h"
#include "ovs/openflow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <unordered_map>

namespace weft::ovs {
namespace {

std::atomic<std::uint64_t> writes_done{0};

using codec_ports = std::unique_ptr<weft_ports, decltype(&weft_ports_free)>;

codec_ports to_codec(const port_numbers& ports) {
    codec_ports out(weft_ports_new(), weft_ports_free);
    for (const auto& [name, number] : ports) {
        weft_ports_put(out.get(), number, name.c_str());
    }
    return out;
}

std::string take(char* text) {
    std::string s = text;
    std::free(text);
    return s;
}

flow to_flow(const weft_flow& f) {
    return {f.cookie, f.table, f.priority, f.idle_timeout, f.hard_timeout, f.match, f.actions};
}

std::string short_text(const flow& f) {
    return fmt::format("table={},priority={}{}{}", f.table, f.priority, f.match.empty() ? "" : ",", f.match);
}

// The fields are checked one by one, so that a match cannot smuggle in another priority, table or action.
result<void> check(const flow& f, const char* operation) {
    const auto bad = [&](std::string why) { return error{errc::invalid_input, operation, short_text(f), std::move(why), 0}; };
    if (f.table == 255) {
        return bad("there is no table 255");
    }
    if (f.cookie == ~std::uint64_t{0}) {
        return bad("a cookie of all ones is reserved");
    }
    for (const char* word : {"actions", "action=", "cookie", "table=", "priority", "idle_timeout", "hard_timeout", "out_port", "out_group"}) {
        for (auto at = f.match.find(word); at != std::string::npos; at = f.match.find(word, at + 1)) {
            if (at == 0 || f.match[at - 1] == ',' || f.match[at - 1] == ' ') {
                return bad(fmt::format("'{}' does not belong into a match", word));
            }
        }
    }
    if ((f.match + f.actions).find_first_of("\r\n") != std::string::npos) {
        return bad("a flow is one line");
    }
    return {};
}

std::string add_text(const flow& f) {
    std::string s = fmt::format("cookie={:#x},table={},priority={}", f.cookie, f.table, f.priority);
    if (f.idle_timeout) {
        s += fmt::format(",idle_timeout={}", f.idle_timeout);
    }
    if (f.hard_timeout) {
        s += fmt::format(",hard_timeout={}", f.hard_timeout);
    }
    if (!f.match.empty()) {
        s += "," + f.match;
    }
    return s + ",actions=" + (f.actions.empty() ? "drop" : f.actions);
}

std::string remove_text(const flow& f) {
    return fmt::format("cookie={:#x}/-1,table={},priority={}{}{}", f.cookie, f.table, f.priority, f.match.empty() ? "" : ",", f.match);
}

error parser_error(std::string words, const char* operation, const flow& f) {
    const bool port = words.find("unknown port") != std::string::npos || words.find("truncate port:") != std::string::npos;
    return {port ? errc::not_found : errc::invalid_input, operation, short_text(f), std::move(words), 0};
}

struct connection_error {
    std::string words;
    std::uint32_t xid;
};

connection_error read_error(const std::vector<std::uint8_t>& m) {
    return {error_words(m), weft_message_xid(m.data())};
}

result<flow> canonical_one(const flow& f, const weft_ports* ports) {
    if (auto ok = check(f, "parse flow"); !ok) {
        return ok.error();
    }
    weft_flow out{};
    if (char* words = weft_flow_canonical(add_text(f).c_str(), ports, &out)) {
        return parser_error(take(words), "parse flow", f);
    }
    flow done = to_flow(out);
    std::free(out.match);
    std::free(out.actions);
    return done;
}

}  // namespace

result<flow> canonical(const flow& f, const port_numbers& ports) {
    weft_ovs_init();
    const auto map = to_codec(ports);
    return canonical_one(f, map.get());
}

std::vector<result<flow>> canonical(std::span<const flow> flows, const port_numbers& ports) {
    weft_ovs_init();
    const auto map = to_codec(ports);
    std::vector<result<flow>> out;
    out.reserve(flows.size());
    for (const auto& f : flows) {
        out.push_back(canonical_one(f, map.get()));
    }
    return out;
}

result<std::vector<flow>> dump_flows(const std::string& rundir, const std::string& bridge, const port_numbers& ports,
                                     std::chrono::milliseconds deadline) {
    auto connection = openflow_connection::open(rundir, bridge, "dump flows", openflow_connection::clock::now() + deadline);
    if (!connection) {
        return connection.error();
    }
    const auto map = to_codec(ports);
    weft_message request{};
    weft_encode_flow_dump(connection->version(), &request);
    const auto xid = connection->send(request);
    std::vector<flow> flows;
    for (bool more = true; more;) {
        auto message = connection->receive();
        if (!message) {
            return message.error();
        }
        const auto kind = weft_message_kind(message->data(), message->size());
        if (kind == WEFT_ERROR) {
            return connection->fail(errc::protocol_error, read_error(*message).words);
        }
        if (weft_message_xid(message->data()) != xid) {
            continue;
        }
        const auto keep = [](void* aux, const weft_flow* f) { static_cast<std::vector<flow>*>(aux)->push_back(to_flow(*f)); };
        if (kind != WEFT_FLOWS || !weft_flows_decode(message->data(), message->size(), map.get(), keep, &flows, &more)) {
            return connection->fail(errc::protocol_error, "the flow dump cannot be decoded");
        }
    }
    std::sort(flows.begin(), flows.end(), [](const flow& a, const flow& b) {
        return std::tie(a.table, b.priority, a.match, a.actions, a.cookie) < std::tie(b.table, a.priority, b.match, b.actions, b.cookie);
    });
    return flows;
}

result<void> apply_flows(const std::string& rundir, const std::string& bridge, const flow_change& change, const port_numbers& ports,
                         std::chrono::milliseconds deadline, std::vector<refused_flow>* refused) {
    static constexpr const char* operation = "apply flows";
    if (change.empty()) {
        return {};
    }
    result<void> sound;  // the first fault of a flow
    const auto refuse = [&](const flow& f, const error& why) {
        if (sound) {
            sound = why;
        }
        if (refused != nullptr) {
            refused->push_back({f, why});
        }
    };
    for (const auto* list : {&change.remove, &change.add}) {
        for (const auto& f : *list) {
            if (auto ok = check(f, operation); !ok) {
                refuse(f, ok.error());
            }
        }
    }
    if (!sound) {
        return sound;
    }
    if (auto ok = fault::point("openflow", bridge); !ok) {
        return ok;
    }
    auto opened = openflow_connection::open(rundir, bridge, operation, openflow_connection::clock::now() + deadline);
    if (!opened) {
        return opened.error();
    }
    auto& connection = *opened;
    const auto map = to_codec(ports);
    const auto version = connection.version();
    static constexpr std::uint32_t bundle = 1;  // numbered per connection
    std::unordered_map<std::uint32_t, const flow*> by_xid;
    weft_message m{};
    weft_encode_bundle(WEFT_BUNDLE_OPEN, version, bundle, &m);
    connection.send(m);
    const auto append = [&](const flow& f, bool remove) {
        const auto text = remove ? remove_text(f) : add_text(f);
        if (char* words = weft_flow_encode_bundled(text.c_str(), remove, version, bundle, map.get(), &m)) {
            return refuse(f, parser_error(take(words), operation, f));
        }
        by_xid.emplace(m.xid, &f);
        connection.send(m);
    };
    // All is encoded before the first byte leaves: a flow that does not parse costs the switch nothing.
    for (const auto& f : change.remove) {
        append(f, true);
    }
    for (const auto& f : change.add) {
        append(f, false);
    }
    if (!sound) {
        return sound;
    }
    const auto until = [&](std::uint32_t wanted) -> result<void> {
        for (;;) {
            auto message = connection.receive();
            if (!message) {
                return message.error();
            }
            const auto kind = weft_message_kind(message->data(), message->size());
            if (kind == WEFT_ERROR) {
                const auto e = read_error(*message);
                const auto found = by_xid.find(e.xid);
                auto refusal = connection.fail(errc::protocol_error, e.words);
                if (found != by_xid.end()) {
                    refusal.object = fmt::format("{} in {}", short_text(*found->second), bridge);
                    if (!sound && sound.error().object == bridge) {
                        sound = refusal;  // "message in bundle failed" only follows from this one
                    }
                    refuse(*found->second, refusal);
                } else if (sound) {
                    sound = refusal;
                }
            }
            if (weft_message_xid(message->data()) == wanted && (kind == WEFT_BARRIER || kind == WEFT_BUNDLE || kind == WEFT_ERROR)) {
                return {};
            }
        }
    };
    // A refused message is merely left out of a bundle, so the commit must wait until all additions are known to be good.
    weft_encode_barrier(version, &m);
    if (auto ok = until(connection.send(m)); !ok) {
        return ok.error();
    }
    if (!sound) {
        weft_encode_bundle(WEFT_BUNDLE_DISCARD, version, bundle, &m);
        (void)until(connection.send(m));
        return sound;
    }
    connection.set_broken(errc::outcome_unknown);
    weft_encode_bundle(WEFT_BUNDLE_COMMIT, version, bundle, &m);
    connection.send(m);
    weft_encode_barrier(version, &m);
    if (auto ok = until(connection.send(m)); !ok) {
        return ok.error();
    }
    if (!sound) {
        return sound;
    }
    writes_done += by_xid.size();
    return {};
}

std::uint64_t flow_writes() noexcept { return writes_done; }

}  // namespace weft::ovs
