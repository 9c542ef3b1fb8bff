// SPDX-License-Identifier: Apache-2.0
// Batches and dumps of nftables over libnftnl. A table is replaced by [add, delete, add]: the first add makes the delete
// succeed when there was none, and the whole batch is one transaction of the kernel. Encoding fails on names, rules and
// data that a message cannot carry (their lengths are 16-bit); decoding fails on cut messages only. It is longer than the guide
// because both directions of one message stand side by side.
#include "wire/nft_codec.hpp"

#include "wire/nft_expressions.hpp"

// Open vSwitch's headers wrap linux/netlink.h and define nla_bitfield32 once more unless told that the system has it.
#ifndef HAVE_NLA_BITFIELD32
#define HAVE_NLA_BITFIELD32 1
#endif
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace weft::wire {
namespace {

struct table_deleter { void operator()(nftnl_table* t) const { nftnl_table_free(t); } };
struct chain_deleter { void operator()(nftnl_chain* c) const { nftnl_chain_free(c); } };
struct rule_deleter { void operator()(nftnl_rule* r) const { nftnl_rule_free(r); } };
using table_ptr = std::unique_ptr<nftnl_table, table_deleter>;
using chain_ptr = std::unique_ptr<nftnl_chain, chain_deleter>;
using rule_ptr = std::unique_ptr<nftnl_rule, rule_deleter>;

// Limits of the kernel: NFT_NAME_MAXLEN with its zero, NFT_RULE_MAXEXPRS, NFT_NETDEVICE_MAX, IFNAMSIZ with its zero. They
// also bound a message to less than half of the scratch buffer, which libnftnl fills without looking at its end.
constexpr std::size_t name_limit = NFT_NAME_MAXLEN - 1;
constexpr std::size_t expression_limit = 128;
constexpr std::size_t device_limit = 256;
constexpr std::size_t device_name_limit = 15;
constexpr std::size_t scratch_size = 128 * 1024;
// What nft(8) accepts as a comment, so that a listing can be loaded again.
constexpr std::size_t comment_limit = 127;
constexpr std::uint8_t userdata_comment_type = 0;  // NFTNL_UDATA_RULE_COMMENT and ..._TABLE_COMMENT of <libnftnl/udata.h>
constexpr const char* table_mark = "made by weft";

error refuse(std::string object, std::string detail) {
    return {errc::invalid_input, "encode nftables batch", std::move(object), std::move(detail), 0};
}

bool usable_name(const std::string& name, std::size_t limit) {
    return !name.empty() && name.size() <= limit && name.find('\0') == std::string::npos;
}

std::string table_text(nft::family family, const std::string& name) {
    return "table " + std::string(to_string(family)) + " " + name;
}

// Userdata as nft(8) writes it: type, length, text with its zero. Cut before a UTF-8 sequence that would not fit whole.
nft::bytes comment_userdata(const std::string& comment) {
    std::string text = comment.substr(0, comment.find('\0'));
    if (text.size() > comment_limit) {
        std::size_t end = comment_limit;
        while (end > 0 && (static_cast<std::uint8_t>(text[end]) & 0xc0U) == 0x80U) --end;
        text.resize(end);
    }
    nft::bytes out{userdata_comment_type, static_cast<std::uint8_t>(text.size() + 1)};
    out.insert(out.end(), text.begin(), text.end());
    out.push_back(0);
    return out;
}

std::string userdata_comment(const std::uint8_t* raw, std::size_t size) {
    for (std::size_t at = 0; at + 2 <= size && at + 2 + raw[at + 1] <= size; at += 2U + raw[at + 1]) {
        if (raw[at] != userdata_comment_type) continue;
        const std::string text(reinterpret_cast<const char*>(raw + at + 2), raw[at + 1]);
        return text.substr(0, text.find('\0'));
    }
    return {};
}

// Appends messages to a batch, each made in a scratch buffer that is larger than any of them.
class batch_writer {
public:
    explicit batch_writer(std::uint32_t first_sequence) : scratch_(scratch_size), sequence_(first_sequence) {
        batch_.first_sequence = first_sequence;
        nftnl_batch_begin(scratch(), next("begin batch"));
        append();
    }

    void table(int type, std::uint16_t flags, nft::family family, const std::string& name, const char* verb) {
        const table_ptr t(nftnl_table_alloc());
        nftnl_table_set_u32(t.get(), NFTNL_TABLE_FAMILY, static_cast<std::uint32_t>(family));
        nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, name.c_str());
        const nft::bytes mark = comment_userdata(table_mark);
        nftnl_table_set_data(t.get(), NFTNL_TABLE_USERDATA, mark.data(), static_cast<std::uint32_t>(mark.size()));
        auto* header = start(type, family, flags, std::string(verb) + " " + table_text(family, name));
        nftnl_table_nlmsg_build_payload(header, t.get());
        append();
    }

    result<void> chain(const nft::table& t, const nft::chain& c) {
        const std::string object = table_text(t.family, t.name) + " chain " + c.name;
        if (!usable_name(c.name, name_limit)) return refuse(object, "a chain's name has 1 to 255 bytes");
        if (c.type.size() > name_limit) return refuse(object, "the chain's type is too long");
        if (c.devices.size() > device_limit) return refuse(object, "more than 256 devices");
        for (const auto& device : c.devices)
            if (!usable_name(device, device_name_limit)) return refuse(object, "bad device name '" + device + "'");
        const chain_ptr out(nftnl_chain_alloc());
        nftnl_chain_set_u32(out.get(), NFTNL_CHAIN_FAMILY, static_cast<std::uint32_t>(t.family));
        nftnl_chain_set_str(out.get(), NFTNL_CHAIN_TABLE, t.name.c_str());
        nftnl_chain_set_str(out.get(), NFTNL_CHAIN_NAME, c.name.c_str());
        if (!c.type.empty()) {  // a chain without a type has no hook: it is only jumped to
            nftnl_chain_set_str(out.get(), NFTNL_CHAIN_TYPE, c.type.c_str());
            nftnl_chain_set_u32(out.get(), NFTNL_CHAIN_HOOKNUM, c.hook);
            nftnl_chain_set_s32(out.get(), NFTNL_CHAIN_PRIO, c.priority);
            nftnl_chain_set_u32(out.get(), NFTNL_CHAIN_POLICY, c.policy);
            if (c.devices.size() == 1) nftnl_chain_set_str(out.get(), NFTNL_CHAIN_DEV, c.devices.front().c_str());
            if (c.devices.size() > 1) {
                std::vector<const char*> names;
                for (const auto& device : c.devices) names.push_back(device.c_str());
                names.push_back(nullptr);
                nftnl_chain_set_array(out.get(), NFTNL_CHAIN_DEVICES, names.data());
            }
        }
        nftnl_chain_nlmsg_build_payload(start(NFT_MSG_NEWCHAIN, t.family, NLM_F_CREATE, "add " + object), out.get());
        append();
        return {};
    }

    result<void> rule(const nft::table& t, const nft::chain& c, const nft::rule& r, std::size_t index) {
        std::string object = table_text(t.family, t.name) + " chain " + c.name + " rule " + std::to_string(index);
        if (!r.comment.empty()) object += " (" + r.comment + ")";
        if (r.expressions.size() > expression_limit) return refuse(object, "more than 128 expressions");
        const rule_ptr out(nftnl_rule_alloc());
        nftnl_rule_set_u32(out.get(), NFTNL_RULE_FAMILY, static_cast<std::uint32_t>(t.family));
        nftnl_rule_set_str(out.get(), NFTNL_RULE_TABLE, t.name.c_str());
        nftnl_rule_set_str(out.get(), NFTNL_RULE_CHAIN, c.name.c_str());
        if (!r.comment.empty()) {
            const nft::bytes userdata = comment_userdata(r.comment);
            nftnl_rule_set_data(out.get(), NFTNL_RULE_USERDATA, userdata.data(), static_cast<std::uint32_t>(userdata.size()));
        }
        for (const auto& e : r.expressions) {
            auto encoded = encode_nft_expression(e);
            if (!encoded) {
                error failed = encoded.error();
                failed.detail = "expression " + failed.object + ": " + failed.detail;
                failed.object = object;
                return failed;
            }
            nftnl_rule_add_expr(out.get(), *encoded);  // the rule owns it from here
        }
        auto* header = start(NFT_MSG_NEWRULE, t.family, NLM_F_CREATE | NLM_F_APPEND, "add " + object);
        nftnl_rule_nlmsg_build_payload(header, out.get());
        if (header->nlmsg_len > 0xffff) return refuse(object, "the rule does not fit in one message");
        append();
        return {};
    }

    nft_batch finish() {
        // The answer to the last message comes after all errors of the batch, so only that one is acknowledged.
        nlmsghdr last;
        std::memcpy(&last, batch_.bytes.data() + last_offset_, sizeof last);
        last.nlmsg_flags |= NLM_F_ACK;
        std::memcpy(batch_.bytes.data() + last_offset_, &last, sizeof last);
        batch_.last_sequence = last.nlmsg_seq;
        nftnl_batch_end(scratch(), next("commit batch"));
        append();
        return std::move(batch_);
    }

private:
    char* scratch() { return reinterpret_cast<char*>(scratch_.data()); }
    std::uint32_t next(std::string object) {
        batch_.objects.push_back(std::move(object));
        return sequence_++;
    }
    nlmsghdr* start(int type, nft::family family, std::uint16_t flags, std::string object) {
        return nftnl_nlmsg_build_hdr(scratch(), static_cast<std::uint16_t>(type), static_cast<std::uint16_t>(family), flags,
                                     next(std::move(object)));
    }
    void append() {
        nlmsghdr header;
        std::memcpy(&header, scratch_.data(), sizeof header);
        last_offset_ = batch_.bytes.size();
        batch_.bytes.insert(batch_.bytes.end(), scratch_.begin(), scratch_.begin() + MNL_ALIGN(header.nlmsg_len));
    }

    nft::bytes scratch_;
    nft_batch batch_;
    std::uint32_t sequence_;
    std::size_t last_offset_ = 0;
};

// A message whose length field and payload agree with the bytes given; null otherwise.
const nlmsghdr* checked(std::span<const std::uint8_t> message, std::size_t payload) {
    if (message.size() < sizeof(nlmsghdr) + payload) return nullptr;
    const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
    return header->nlmsg_len >= sizeof(nlmsghdr) + payload && header->nlmsg_len <= message.size() ? header : nullptr;
}

// mnl_attr_for_each for C++, which does not turn a void pointer into another.
template <class Work>
void each_attribute(const nlmsghdr* header, std::size_t offset, Work work) {
    auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, offset));
    const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
    for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at))); at = mnl_attr_next(at)) work(at);
}

error cut(const char* what) {
    return {errc::protocol_error, "read nftables", what, "the kernel's message is malformed", 0};
}

}  // namespace

std::string_view to_string(nft::family family) noexcept {
    switch (family) {
        case nft::family::inet: return "inet";
        case nft::family::ipv4: return "ip";
        case nft::family::arp: return "arp";
        case nft::family::netdev: return "netdev";
        case nft::family::bridge: return "bridge";
        case nft::family::ipv6: return "ip6";
    }
    return "unknown";
}

result<nft_batch> encode_nft_batch(const std::vector<nft::table>& replace,
                                   const std::vector<std::pair<nft::family, std::string>>& remove,
                                   std::uint32_t first_sequence) {
    batch_writer out(first_sequence);
    for (const auto& [family, name] : remove) {
        if (!usable_name(name, name_limit)) return refuse(table_text(family, name), "a table's name has 1 to 255 bytes");
        out.table(NFT_MSG_NEWTABLE, NLM_F_CREATE, family, name, "add");
        out.table(NFT_MSG_DELTABLE, 0, family, name, "delete");
    }
    for (const auto& t : replace) {
        if (!usable_name(t.name, name_limit)) return refuse(table_text(t.family, t.name), "a table's name has 1 to 255 bytes");
        out.table(NFT_MSG_NEWTABLE, NLM_F_CREATE, t.family, t.name, "add");
        out.table(NFT_MSG_DELTABLE, 0, t.family, t.name, "delete");
        out.table(NFT_MSG_NEWTABLE, NLM_F_CREATE, t.family, t.name, "add");
        // All chains before all rules, since a rule may jump to any of them.
        for (const auto& c : t.chains)
            if (auto done = out.chain(t, c); !done) return done.error();
        for (const auto& c : t.chains)
            for (std::size_t i = 0; i < c.rules.size(); ++i)
                if (auto done = out.rule(t, c, c.rules[i], i); !done) return done.error();
    }
    return out.finish();
}

nft::bytes encode_nft_dump(nft_dump what, std::uint32_t sequence) {
    const int type = what == nft_dump::tables ? NFT_MSG_GETTABLE : what == nft_dump::chains ? NFT_MSG_GETCHAIN : NFT_MSG_GETRULE;
    nft::bytes out(MNL_SOCKET_BUFFER_SIZE);
    auto* header = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(out.data()), static_cast<std::uint16_t>(type), NFPROTO_UNSPEC,
                                         NLM_F_DUMP, sequence);
    out.resize(header->nlmsg_len);
    return out;
}

nft::bytes encode_nft_rule_dump(nft::family family, const std::string& table, std::uint32_t sequence) {
    nft::bytes out(MNL_SOCKET_BUFFER_SIZE);
    auto* header = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(out.data()), NFT_MSG_GETRULE,
                                         static_cast<std::uint16_t>(family), NLM_F_DUMP, sequence);
    mnl_attr_put_strz(header, NFTA_RULE_TABLE, table.substr(0, name_limit).c_str());
    out.resize(header->nlmsg_len);
    return out;
}

nft::bytes encode_nft_generation_request(std::uint32_t sequence) {
    nft::bytes out(MNL_SOCKET_BUFFER_SIZE);
    auto* header =
        nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(out.data()), NFT_MSG_GETGEN, NFPROTO_UNSPEC, 0, sequence);
    out.resize(header->nlmsg_len);
    return out;
}

result<std::uint32_t> decode_nft_generation(std::span<const std::uint8_t> message) {
    const nlmsghdr* header = checked(message, sizeof(nfgenmsg));
    if (header == nullptr) return cut("generation");
    result<std::uint32_t> generation = cut("generation");
    each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            generation = ntohl(mnl_attr_get_u32(attribute));
    });
    return generation;
}

result<void> nft_collector::add(std::span<const std::uint8_t> message) {
    const nlmsghdr* header = checked(message, sizeof(nfgenmsg));
    if (header == nullptr) return cut("dump");
    switch (NFNL_MSG_TYPE(header->nlmsg_type)) {
        case NFT_MSG_NEWTABLE: return add_table(message);
        case NFT_MSG_NEWCHAIN: return add_chain(message);
        case NFT_MSG_NEWRULE: return add_rule(message);
        default: return {};
    }
}

result<void> nft_collector::add_table(std::span<const std::uint8_t> message) {
    const table_ptr t(nftnl_table_alloc());
    if (nftnl_table_nlmsg_parse(checked(message, sizeof(nfgenmsg)), t.get()) < 0 ||
        !nftnl_table_is_set(t.get(), NFTNL_TABLE_NAME))
        return cut("table");
    const std::string name = nftnl_table_get_str(t.get(), NFTNL_TABLE_NAME);
    if (!wanted_.empty() && name != wanted_) return {};
    const table_key key{nftnl_table_get_u32(t.get(), NFTNL_TABLE_FAMILY), name};
    tables_[key];
    std::uint32_t size = 0;
    const auto* raw = static_cast<const std::uint8_t*>(nftnl_table_get_data(t.get(), NFTNL_TABLE_USERDATA, &size));
    if (raw != nullptr && userdata_comment(raw, size) == table_mark) marked_.insert(key);
    return {};
}

result<void> nft_collector::add_chain(std::span<const std::uint8_t> message) {
    const chain_ptr c(nftnl_chain_alloc());
    if (nftnl_chain_nlmsg_parse(checked(message, sizeof(nfgenmsg)), c.get()) < 0 ||
        !nftnl_chain_is_set(c.get(), NFTNL_CHAIN_NAME) || !nftnl_chain_is_set(c.get(), NFTNL_CHAIN_TABLE))
        return cut("chain");
    const auto table = tables_.find(
        {nftnl_chain_get_u32(c.get(), NFTNL_CHAIN_FAMILY), nftnl_chain_get_str(c.get(), NFTNL_CHAIN_TABLE)});
    if (table == tables_.end()) return {};
    nft::chain out;
    out.name = nftnl_chain_get_str(c.get(), NFTNL_CHAIN_NAME);
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_TYPE)) out.type = nftnl_chain_get_str(c.get(), NFTNL_CHAIN_TYPE);
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_HOOKNUM)) out.hook = nftnl_chain_get_u32(c.get(), NFTNL_CHAIN_HOOKNUM);
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_PRIO)) out.priority = nftnl_chain_get_s32(c.get(), NFTNL_CHAIN_PRIO);
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_POLICY)) out.policy = nftnl_chain_get_u32(c.get(), NFTNL_CHAIN_POLICY);
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_DEV)) out.devices.emplace_back(nftnl_chain_get_str(c.get(), NFTNL_CHAIN_DEV));
    if (nftnl_chain_is_set(c.get(), NFTNL_CHAIN_DEVICES))
        for (const char* const* d = nftnl_chain_get_array(c.get(), NFTNL_CHAIN_DEVICES); d != nullptr && *d != nullptr; ++d)
            out.devices.emplace_back(*d);
    // The kernel names a single device twice, in the old attribute and in the list.
    std::sort(out.devices.begin(), out.devices.end());
    out.devices.erase(std::unique(out.devices.begin(), out.devices.end()), out.devices.end());
    table->second[out.name] = std::move(out);
    return {};
}

result<void> nft_collector::add_rule(std::span<const std::uint8_t> message) {
    const nlmsghdr* header = checked(message, sizeof(nfgenmsg));
    // The place of the rule is read without libnftnl, which gives up on the whole rule at an expression it does not know.
    std::string table_name, chain_name;
    each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
        if (mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0) return;
        if (mnl_attr_get_type(attribute) == NFTA_RULE_TABLE) table_name = mnl_attr_get_str(attribute);
        if (mnl_attr_get_type(attribute) == NFTA_RULE_CHAIN) chain_name = mnl_attr_get_str(attribute);
    });
    const auto* family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
    const auto table = tables_.find({family->nfgen_family, table_name});
    if (table == tables_.end()) return {};
    const auto chain = table->second.find(chain_name);
    if (chain == table->second.end()) return cut("rule");

    nft::rule out;
    const rule_ptr r(nftnl_rule_alloc());
    if (nftnl_rule_nlmsg_parse(header, r.get()) < 0) {
        out.expressions.push_back({"unreadable", {}, {}, {}});
    } else {
        nftnl_expr_iter* walk = nftnl_expr_iter_create(r.get());
        while (const nftnl_expr* e = nftnl_expr_iter_next(walk)) out.expressions.push_back(decode_nft_expression(e));
        nftnl_expr_iter_destroy(walk);
        if (nftnl_rule_is_set(r.get(), NFTNL_RULE_USERDATA)) {
            std::uint32_t size = 0;
            const auto* raw = static_cast<const std::uint8_t*>(nftnl_rule_get_data(r.get(), NFTNL_RULE_USERDATA, &size));
            out.comment = userdata_comment(raw, size);
        }
    }
    chain->second.rules.push_back(std::move(out));
    return {};
}

std::vector<std::pair<nft::family, std::string>> nft_collector::found() const {
    std::vector<std::pair<nft::family, std::string>> out;
    for (const auto& [key, chains] : tables_) out.emplace_back(static_cast<nft::family>(key.first), key.second);
    return out;
}

std::vector<nft::table> nft_collector::take() {
    std::vector<nft::table> out;
    for (auto& [key, chains] : tables_) {
        nft::table t;
        t.family = static_cast<nft::family>(key.first);
        t.name = key.second;
        t.marked = marked_.contains(key);
        for (auto& [name, c] : chains) t.chains.push_back(std::move(c));
        out.push_back(std::move(t));
    }
    tables_.clear();
    marked_.clear();
    return out;
}

std::string nft_error_text(std::span<const std::uint8_t> message) {
    const nlmsghdr* header = checked(message, sizeof(nlmsgerr));
    if (header == nullptr || (header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
    // The failed request is echoed in full unless the kernel says that it cut it.
    std::size_t skip = sizeof(nlmsgerr);
    const auto* failed = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(header));
    if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) {
        if (failed->msg.nlmsg_len < sizeof(nlmsghdr)) return {};
        skip += MNL_ALIGN(failed->msg.nlmsg_len) - sizeof(nlmsghdr);
    }
    if (sizeof(nlmsghdr) + skip > header->nlmsg_len) return {};
    std::string text, place;
    each_attribute(header, skip, [&](const nlattr* attribute) {
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
            text = mnl_attr_get_str(attribute);
        if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_OFFS && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
            place = "attribute at byte " + std::to_string(mnl_attr_get_u32(attribute)) + " of the request";
    });
    if (text.empty()) return place;
    return place.empty() ? text : text + " (" + place + ")";
}

}  // namespace weft::wire
