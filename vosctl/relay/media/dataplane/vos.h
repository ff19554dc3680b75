/* The plain data that the data plane shares with its host (ctypes) and with every other forwarding plane.
 *
 * No pointers, fixed widths, no padding that matters: a `struct vos_entry` is valid in this process, in a
 * kernel map and in a dump. Integers are in host order; addresses are bytes as they stand in the packet. */
#ifndef VOS_H
#define VOS_H

#include <stddef.h>
#include <stdint.h>

#define VOS_ABI 1
#define VOS_KEY_MAX 256
#define VOS_CLOCKS 128
#define VOS_DIGITS 64
#define VOS_SOUND_MAX (4 << 20)

enum vos_mode { VOS_NONE, VOS_XOR, VOS_RC4, VOS_AES128, VOS_SRTP_80, VOS_SRTP_32, VOS_SRTP_GCM };
enum vos_learn { VOS_LEARN_SDP, VOS_LEARN_NAT, VOS_LEARN_ANY };
enum vos_event_kind { VOS_FIRST_PACKET = 1, VOS_SOURCE_CHANGE, VOS_TIMEOUT, VOS_KEY_MISMATCH };
enum vos_done { VOS_PLAYED = 16, VOS_DIGITS_SENT }; /* events too: what vos_play and vos_dial gave is at its end */

/* What becomes of the packets that arrive on a leg; `events` of the leg says which are DTMF. */
enum vos_filter { VOS_BLOCK_MEDIA = 1, VOS_SILENCE = 2, VOS_BLOCK_EVENTS = 4 };

/* What a change touches; everything else of the leg goes on undisturbed. */
enum vos_change {
    VOS_CHANGE_REMOTE = 1, /* remote, from, learn: find the far end anew */
    VOS_CHANGE_RX = 2,
    VOS_CHANGE_TX = 4,
    VOS_CHANGE_REST = 8,   /* payload types, clocks, DSCP, send, receive, timeout */
    VOS_CHANGE_JUDGE = 16, /* judge; a changed rx judges anew by itself */
    VOS_CHANGE_RTCP = 32,  /* rtcp_remote, mux */
    VOS_CHANGE_PLAYOUT = 64, /* playout; what the buffer held is played at once */
};

struct vos_addr {
    uint16_t family; /* 0 (none), 4 or 6 */
    uint16_t port;
    uint32_t scope; /* interface of a link-local IPv6 address, else 0 */
    uint8_t ip[16];
};

struct vos_transform {
    uint8_t mode;
    uint8_t spare;
    uint16_t key_len;
    uint8_t salt[4];
    uint8_t key[VOS_KEY_MAX]; /* srtp: master key, master salt */
};

/* Counted where packets of one leg arrive, and (sent_*) where packets leave by it. */
struct vos_counters {
    uint64_t packets, bytes; /* RTP accepted from the leg's far end; bytes with the RTP header */
    uint64_t dropped;        /* from a source that this leg does not accept, RTP and RTCP */
    uint64_t malformed;
    uint64_t held;    /* accepted, but not passed on: hold, or nowhere to send yet */
    uint64_t overrun; /* lost in the socket's own queue */
    uint64_t rtcp_packets, rtcp_bytes;
    uint64_t sent, sent_bytes, send_errors, rtcp_sent;
    uint64_t late;                 /* came after the jitter buffer had played what follows; not passed on */
    uint64_t loss_runs, run_lost;  /* gaps in the sequence that stayed, and the packets missing in them */
    uint64_t burst_lost;           /* of these, in gaps of two packets and more */
    uint64_t expected;             /* RFC 3550 A.3, summed over the sources */
    uint64_t reordered, duplicate; /* of the accepted ones */
    uint64_t unauthentic;          /* SRTP and SRTCP: forged, altered, played again, or of another key */
    uint32_t jitter_us;            /* RFC 3550 A.8, in microseconds */
    uint32_t ssrc;
    uint32_t sources; /* how often the SSRC began or changed, or the sequence restarted */
    uint32_t payload_type;
    uint32_t playout_us; /* the jitter buffer's present delay, beyond the fastest packet */
    uint32_t rtt_us;     /* to the far end and back, by the last report (RFC 3550 §6.4.1); 0: none yet */
    uint32_t ptime_us;   /* from one packet's timestamp to the next one's; 0: not known yet */
    uint32_t spare;
};

#define VOS_FORWARD 1u /* the match is complete and both ends are open: a fast path may take the flow */
#define VOS_MUX 2u

/* One direction of one stream: packets that arrive on match.local from match.remote leave from
 * rewrite.source to rewrite.destination, decrypted, encrypted and marked. */
struct vos_entry {
    struct {
        struct vos_addr local, remote;
        uint8_t payload_types[16]; /* bit n of the set: payload type n; all clear: any */
    } match;
    struct {
        struct vos_addr source, destination;
    } rewrite;
    struct vos_transform decrypt, encrypt;
    uint32_t dscp;
    uint32_t flags;
    struct vos_counters counters;
};

#define VOS_PLAYOUT_MAX 400u

/* The jitter buffer of a leg, in milliseconds; 0 < minimum <= start <= maximum <= VOS_PLAYOUT_MAX. */
struct vos_playout_conf {
    uint16_t minimum, maximum, start;
    uint8_t on, adaptive;
};

struct vos_leg_conf {
    int32_t rtp_fd, rtcp_fd;
    struct vos_addr local, remote, rtcp_remote, from;
    uint8_t learn, mux, send, receive;
    uint8_t dscp, judge, filter, udptl;
    uint32_t timeout_ms;
    struct vos_playout_conf playout;
    uint8_t payload_types[16];
    uint8_t events[16];          /* those of them that are telephone-event (RFC 4733) */
    uint32_t clocks[VOS_CLOCKS]; /* RTP clock of each payload type, Hz */
    struct vos_transform rx, tx;
};

/* What the host reads while packets flow. `version` is odd while an address is being written. */
struct vos_view {
    uint32_t version;
    uint32_t mismatch; /* 1 while the stream looks as if the key were wrong */
    struct vos_addr learned, rtcp_learned;
    uint64_t last_ms; /* milliseconds of CLOCK_MONOTONIC; when anything genuine last arrived */
};

struct vos_event {
    uint32_t kind;
    uint32_t side;
    uint64_t stream;
    struct vos_addr remote;
    uint64_t value;
};

struct vos_conf {
    uint32_t workers;
    uint32_t receive_buffer;
    uint32_t files; /* the process' limit of open files */
    uint32_t epoll; /* 1: wait with epoll even where the kernel has io_uring */
};

/* One digit; duration and pause in timestamp units of 1/8000 s, volume in -dBm0. */
struct vos_digit {
    uint8_t code, volume;
    uint16_t duration, pause;
};

struct vos_digits_conf {
    uint32_t payload_type, count;
    struct vos_digit digit[VOS_DIGITS];
};

struct vos_play_conf {
    uint32_t payload_type;
    uint32_t frame;  /* bytes, which are samples, a packet */
    uint32_t repeat; /* how often in all; 0 is once */
    uint32_t ssrc, sequence, timestamp;
};

/* What precedes each packet on the descriptor of vos_tap_open, one record and one packet a datagram. */
struct vos_record {
    uint64_t stream, time_us; /* time_us: since 1970 */
    struct vos_addr from, to;
};

struct vos_stream;
struct vos_judge;

#pragma GCC visibility push(default)

/* The interface. Functions return 0 (or what is said) and a negative errno otherwise; they may be called
 * from one thread at a time, and never disturb streams that they do not name. */
uint32_t vos_abi(void);
uint32_t vos_sizes(uint32_t which);                  /* sizeof of entry, conf, view, event: 0..3, to compare */
int vos_start(const struct vos_conf *conf);          /* the descriptor that events are read from */
void vos_stop(void);                                 /* ends the workers; closes every stream's sockets */
int vos_low_latency(uint32_t on);                    /* -ENOSYS, -EINVAL: some worker cannot, see awake.c */
const char *vos_crypto(void);                        /* version of libcrypto, or "" without one */
uint32_t vos_modes(void);                            /* bit n: mode n works on this machine */
int vos_open(const struct vos_addr *local, int32_t fds[2]); /* RTP on local->port, RTCP on the next */
void vos_close(const int32_t fds[2]);                 /* what vos_open gave and no stream took */
int vos_add(uint64_t id, const struct vos_leg_conf legs[2], struct vos_stream **out);
int vos_change(struct vos_stream *stream, uint32_t side, const struct vos_leg_conf *leg, uint32_t what);
int vos_remove(struct vos_stream *stream, struct vos_counters last[2]);
const struct vos_entry *vos_entry(const struct vos_stream *stream, uint32_t side);
const struct vos_view *vos_view(const struct vos_stream *stream, uint32_t side);
void vos_refresh(struct vos_stream *stream); /* adds what the kernel dropped to its counters, or to all (NULL) */
uint64_t vos_events_lost(void);

/* Sound and digits of the relay's own; no sound (length 0) and no digits end what is under way. */
int vos_play(struct vos_stream *stream, uint32_t side, const struct vos_play_conf *conf, const uint8_t *sound,
             size_t length); /* to the leg, instead of what the other one sends */
int vos_dial(struct vos_stream *stream, uint32_t side, const struct vos_digits_conf *conf, const uint8_t *sound,
             size_t length); /* in what the leg sends: as events, or as tones in G.711 bytes */
int vos_tap_open(void);      /* the descriptor that copies are read from */
uint64_t vos_tap_lost(void);
int vos_record(struct vos_stream *stream, uint32_t on);

/* The kernel's path; opening it takes CAP_BPF and CAP_NET_ADMIN, using it nothing. */
int vos_kernel_open(const struct vos_addr *addresses, uint32_t count, uint32_t places, const char **step);
int vos_kernel_use(uint32_t on); /* -ENOENT: it is not open */
uint32_t vos_kernel_inside(void); /* directions that the kernel forwards */
void vos_kernel_close(void);      /* while no worker runs */

/* Single steps, for tests and tools. */
int vos_rtp_header(const uint8_t *packet, size_t length); /* bytes before the payload, or -EBADMSG */
int vos_rtcp_valid(const uint8_t *packet, size_t length);
struct vos_srtp;
int vos_srtp_create(const struct vos_transform *how, struct vos_srtp **out);
int vos_srtp_packet(struct vos_srtp *srtp, uint8_t *packet, size_t *length, uint32_t seal, uint32_t rtcp);
void vos_srtp_free(struct vos_srtp *srtp);
int vos_transform_packet(const struct vos_transform *how, uint8_t *packet, size_t length);
struct vos_judge *vos_judge_new(void);
void vos_judge_free(struct vos_judge *judge);
int vos_judge_packet(struct vos_judge *judge, uint8_t payload_type, uint32_t ssrc, const uint8_t *payload,
                     size_t length);

#pragma GCC visibility pop

#endif
