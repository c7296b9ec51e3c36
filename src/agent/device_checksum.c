/* device_checksum: TCP and UDP checksums in software.
 *
 * A sender on the same machine (the far end of a veth pair) leaves the checksum to "hardware" that
 * never comes: the frame arrives through the packet socket marked TP_STATUS_CSUMNOTREADY, with only
 * the pseudo header summed up. A stack above that checks would drop every such frame, so the device
 * does what a network card would have done. Lengths come from the packet and are checked against
 * the frame; anything odd is left as it is, for the stack above to judge. */
#include <netinet/in.h>
#include <string.h>

#include "agent/device_ops.h"

#define IPV4_HEADER_BYTES_MIN 20u
#define IPV6_HEADER_BYTES     40u

static uint32_t sum_words(uint32_t sum, const uint8_t *at, size_t bytes)
{
    for (; bytes >= 2; at += 2, bytes -= 2) {
        sum += (uint32_t)at[0] << 8 | at[1];
    }
    if (bytes > 0) {
        sum += (uint32_t)at[0] << 8;
    }
    return sum;
}

/* Where the payload lies, and what the pseudo header adds. */
struct segment {
    uint8_t *at;
    size_t bytes;
    uint8_t protocol;
    uint32_t sum;
};

static bool segment_of_ipv4(uint8_t *packet, size_t bytes, struct segment *ret)
{
    size_t header, total;

    if (bytes < IPV4_HEADER_BYTES_MIN || packet[0] >> 4 != 4) {
        return false;
    }
    header = (size_t)(packet[0] & 0xf) * 4;
    total = (size_t)packet[2] << 8 | packet[3];
    if (header < IPV4_HEADER_BYTES_MIN || total < header || total > bytes) {
        return false;
    }
    if ((packet[6] & 0x3f) != 0 || packet[7] != 0) { /* a fragment has no checksum of its own */
        return false;
    }
    *ret = (struct segment){ packet + header, total - header, packet[9], 0 };
    ret->sum = sum_words(0, packet + 12, 8);
    return true;
}

static bool segment_of_ipv6(uint8_t *packet, size_t bytes, struct segment *ret)
{
    size_t payload;

    if (bytes < IPV6_HEADER_BYTES || packet[0] >> 4 != 6) {
        return false;
    }
    payload = (size_t)packet[4] << 8 | packet[5];
    if (payload > bytes - IPV6_HEADER_BYTES) {
        return false;
    }
    *ret = (struct segment){ packet + IPV6_HEADER_BYTES, payload, packet[6], 0 };
    ret->sum = sum_words(0, packet + 8, 32);
    return true;
}

static void segment_fill(struct segment s, size_t offset, bool zero_means_none)
{
    uint32_t sum;

    if (s.bytes < offset + 2) {
        return;
    }
    s.at[offset] = 0;
    s.at[offset + 1] = 0;
    sum = sum_words(s.sum + s.protocol + (uint32_t)s.bytes, s.at, s.bytes);
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = ~sum & 0xffff;
    if (sum == 0 && zero_means_none) {
        sum = 0xffff;
    }
    s.at[offset] = (uint8_t)(sum >> 8);
    s.at[offset + 1] = (uint8_t)sum;
}

void frame_checksum_fill(uint8_t *frame, size_t bytes)
{
    struct segment s;
    size_t header = ETH_HLEN;
    unsigned type;

    if (bytes < header) {
        return;
    }
    type = (unsigned)frame[12] << 8 | frame[13];
    if (type == ETHERTYPE_VLAN && bytes >= header + DEVICE_VLAN_BYTES) {
        type = (unsigned)frame[16] << 8 | frame[17];
        header += DEVICE_VLAN_BYTES;
    }
    if (!(type == ETHERTYPE_IP && segment_of_ipv4(frame + header, bytes - header, &s)) &&
        !(type == ETHERTYPE_IPV6 && segment_of_ipv6(frame + header, bytes - header, &s))) {
        return;
    }
    if (s.protocol == IPPROTO_TCP && s.bytes >= 20) {
        segment_fill(s, 16, false);
    } else if (s.protocol == IPPROTO_UDP && s.bytes >= 8) {
        segment_fill(s, 6, true);
    }
}
