/* SRTP and SRTCP (RFC 3711 with AES_CM_128_HMAC_SHA1_80 and _32; RFC 7714 with AEAD_AES_128_GCM).
 *
 * One context is one direction of one leg: a master key, the session keys that come of it, and for each SSRC the
 * packet index and the window of indices that have been used. A context belongs to one worker, like the leg. Nothing
 * of it changes before a packet has proven genuine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "window.h"

#define MASTER_KEY 16
#define SALT_CM 14
#define SALT_GCM 12
#define AUTH_KEY 20
#define TAG_80 10
#define TAG_32 4
#define TAG_GCM 16
#define TRACKS 16 /* SSRCs at a time; beyond them the one that was silent longest begins anew */
#define RTCP_HEADER 8
#define RTCP_INDEX 4
#define RTCP_LAST 0x7fffffffu
#define ENCRYPTED 0x80000000u
#define GUESSES 8  /* rollover counters that are tried on a packet which the expected one does not prove */
#define REACH 256u /* how far ahead: more than three days of 20 ms packets */
#define LOST 8     /* packets in a row without proof, before a running stream is searched for */

enum label { RTP_KEY, RTP_AUTH, RTP_SALT, RTCP_KEY, RTCP_AUTH, RTCP_SALT }; /* RFC 3711 §4.3.2 */

struct track {
    uint32_t ssrc;
    uint64_t age;
    struct window rtp, rtcp;
};

/* The session keys of RTP, or those of RTCP. */
struct session {
    uint8_t salt[16]; /* zeros follow the salt proper */
    size_t tag;
    struct vos_aes *aes;
    struct vos_hmac hmac;
    struct vos_gcm *gcm;
};

struct vos_srtp {
    struct session rtp, rtcp;
    uint64_t clock;
    uint32_t unproven, guess;
    struct track track[TRACKS];
};

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void write32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* RFC 3711 §4.3.3; a salt of 12 bytes is followed by two zeros (RFC 7714 §11). The derivation rate is 0. */
static int derive(struct vos_aes *master, const uint8_t salt[SALT_CM], enum label label, uint8_t *out, size_t length)
{
    uint8_t counter[32] = {0}, stream[32];
    memcpy(counter, salt, SALT_CM);
    counter[7] ^= (uint8_t)label;
    memcpy(counter + 16, counter, 16);
    counter[31] = 1;
    int error = vos_aes_blocks(master, counter, stream, sizeof stream);
    memcpy(out, stream, length);
    vos_wipe(counter, sizeof counter);
    vos_wipe(stream, sizeof stream);
    return error;
}

static int session_new(struct session *session, struct vos_aes *master, const uint8_t salt[SALT_CM], bool gcm,
                       enum label first)
{
    uint8_t key[MASTER_KEY], auth[AUTH_KEY];
    int error = derive(master, salt, first, key, sizeof key);
    if (!error)
        error = derive(master, salt, first + 1, auth, sizeof auth);
    if (!error)
        error = derive(master, salt, first + 2, session->salt, gcm ? SALT_GCM : SALT_CM);
    if (!error && gcm)
        error = (session->gcm = vos_gcm_new(key)) ? 0 : -ENOSYS;
    else if (!error)
        error = (session->aes = vos_aes_new(key)) ? vos_hmac_init(&session->hmac, VOS_SHA1, auth, sizeof auth) : -ENOSYS;
    vos_wipe(key, sizeof key);
    vos_wipe(auth, sizeof auth);
    return error;
}

int vos_srtp_create(const struct vos_transform *how, struct vos_srtp **out)
{
    bool gcm = how->mode == VOS_SRTP_GCM;
    uint8_t salt[SALT_CM] = {0};
    if (how->key_len != MASTER_KEY + (gcm ? SALT_GCM : SALT_CM))
        return -EINVAL;
    if (vos_crypto_open() || !(vos_modes() >> how->mode & 1))
        return -ENOSYS;
    memcpy(salt, how->key + MASTER_KEY, how->key_len - MASTER_KEY);
    struct vos_aes *master = vos_aes_new(how->key);
    struct vos_srtp *srtp = calloc(1, sizeof *srtp);
    int error = master && srtp ? 0 : -ENOMEM;
    if (!error) {
        srtp->rtp.tag = gcm ? TAG_GCM : how->mode == VOS_SRTP_32 ? TAG_32 : TAG_80;
        srtp->rtcp.tag = gcm ? TAG_GCM : TAG_80; /* of both HMAC suites (RFC 4568 §6.2.2) */
        error = session_new(&srtp->rtp, master, salt, gcm, RTP_KEY);
    }
    if (!error)
        error = session_new(&srtp->rtcp, master, salt, gcm, RTCP_KEY);
    vos_aes_free(master);
    vos_wipe(salt, sizeof salt);
    if (error) {
        vos_srtp_free(srtp);
        return error;
    }
    *out = srtp;
    return 0;
}

static void session_free(struct session *session)
{
    vos_aes_free(session->aes);
    vos_gcm_free(session->gcm);
}

void vos_srtp_free(struct vos_srtp *srtp)
{
    if (!srtp)
        return;
    session_free(&srtp->rtp);
    session_free(&srtp->rtcp);
    vos_wipe(srtp, sizeof *srtp);
    free(srtp);
}

static struct track *find(struct vos_srtp *srtp, uint32_t ssrc)
{
    for (struct track *track = srtp->track; track < srtp->track + TRACKS; track++)
        if (track->age && track->ssrc == ssrc)
            return track;
    return NULL;
}

/* The SSRC's state, which a genuine packet of a new SSRC takes from the one that was silent longest. */
static struct track *keep(struct vos_srtp *srtp, struct track *track, uint32_t ssrc)
{
    if (!track) {
        track = srtp->track;
        for (struct track *other = srtp->track; other < srtp->track + TRACKS; other++)
            if (other->age < track->age)
                track = other;
        *track = (struct track){.ssrc = ssrc};
    }
    track->age = ++srtp->clock;
    return track;
}

/* RFC 3711 §4.1.1: the bytes before the block counter. The index has 48 bits for RTP and 31 for RTCP. */
static void counter_cm(const struct session *session, uint32_t ssrc, uint64_t index, uint8_t out[16])
{
    memcpy(out, session->salt, 16);
    for (int i = 0; i < 4; i++)
        out[4 + i] ^= (uint8_t)(ssrc >> (24 - 8 * i));
    for (int i = 0; i < 6; i++)
        out[8 + i] ^= (uint8_t)(index >> (40 - 8 * i));
}

/* RFC 7714 §8.1 and §9.1. */
static void nonce_gcm(const struct session *session, uint32_t ssrc, uint64_t index, uint8_t out[12])
{
    memcpy(out, session->salt, 12);
    for (int i = 0; i < 4; i++)
        out[2 + i] ^= (uint8_t)(ssrc >> (24 - 8 * i));
    for (int i = 0; i < 6; i++)
        out[6 + i] ^= (uint8_t)(index >> (40 - 8 * i));
}

static bool same(const uint8_t *a, const uint8_t *b, size_t length)
{
    uint8_t difference = 0;
    for (size_t i = 0; i < length; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

/* A packet as both ciphers see it: what stays clear, what does not, and what is authenticated after it. */
struct part {
    uint8_t *clear, *body;
    size_t clear_len, body_len;
    uint32_t ssrc;
    uint64_t index;
    uint8_t tail[4]; /* the rollover counter, or the RTCP index with its bit */
};

static int crypt_cm(const struct session *session, const struct part *part)
{
    uint8_t counter[16];
    counter_cm(session, part->ssrc, part->index, counter);
    return vos_aes_counter(session->aes, counter, part->body, part->body_len);
}

static void sign(const struct session *session, const struct part *part, uint8_t out[32])
{
    vos_hmac(&session->hmac, part->clear, part->clear_len + part->body_len, part->tail, sizeof part->tail, out);
}

/* RTP's rollover counter is in the nonce already; only RTCP's index is told to GCM again (RFC 7714 §9.3). */
static int crypt_gcm(const struct session *session, const struct part *part, bool rtcp, bool seal, uint8_t *tag)
{
    uint8_t nonce[12];
    nonce_gcm(session, part->ssrc, part->index, nonce);
    struct vos_span extra[2] = {{part->clear, part->clear_len}, {part->tail, rtcp ? sizeof part->tail : 0}};
    return vos_gcm_crypt(session->gcm, seal, nonce, extra, part->body, part->body_len, tag);
}

static int open_part(const struct session *session, const struct part *part, bool rtcp, const uint8_t *tag)
{
    uint8_t digest[32];
    if (session->gcm) {
        memcpy(digest, tag, TAG_GCM);
        return crypt_gcm(session, part, rtcp, false, digest);
    }
    sign(session, part, digest);
    return same(digest, tag, session->tag) ? crypt_cm(session, part) : -EBADMSG;
}

static int seal_part(const struct session *session, const struct part *part, bool rtcp, uint8_t *tag)
{
    uint8_t digest[32];
    if (session->gcm)
        return crypt_gcm(session, part, rtcp, true, tag);
    int error = crypt_cm(session, part);
    sign(session, part, digest);
    memcpy(tag, digest, session->tag);
    return error;
}

static struct part rtp_part(uint8_t *packet, size_t length, const struct vos_rtp *rtp, int64_t index)
{
    struct part part = {packet, packet + rtp->header, rtp->header, length - rtp->header, rtp->ssrc, (uint64_t)index, {0}};
    write32(part.tail, (uint32_t)(index >> 16));
    return part;
}

/* GCM decrypts before it knows; done once more, that puts the packet back for another guess. */
static int open_guessed(const struct session *session, const struct part *part, const uint8_t *tag)
{
    int error = open_part(session, part, false, tag);
    if (error && session->gcm)
        (void)open_part(session, part, false, tag);
    return error;
}

/* The rollover counter is not on the wire. Whoever has not followed a stream from its first packet, as after a restart,
 * does not know it: those ahead of the expected one are tried, some on each packet, until one proves the packet. */
static int search(struct vos_srtp *srtp, uint8_t *packet, size_t plain, const struct vos_rtp *rtp, int64_t *index)
{
    for (int n = 0; n < GUESSES; n++) {
        srtp->guess = srtp->guess % REACH + 1;
        int64_t candidate = *index + ((int64_t)srtp->guess << 16);
        if (candidate >> 48)
            continue;
        struct part part = rtp_part(packet, plain, rtp, candidate);
        if (open_guessed(&srtp->rtp, &part, packet + plain) == 0) {
            *index = candidate;
            return 0;
        }
    }
    return -EBADMSG;
}

/* -EBADMSG: forged or altered; -EEXIST: seen before, or too old to tell. The packet is then not to be used. */
int vos_srtp_open(struct vos_srtp *srtp, uint8_t *packet, size_t *length, const struct vos_rtp *rtp)
{
    if (*length < rtp->header + srtp->rtp.tag)
        return -EBADMSG;
    size_t plain = *length - srtp->rtp.tag;
    struct track *track = find(srtp, rtp->ssrc);
    int64_t index = index_of(track ? &track->rtp : NULL, rtp->sequence);
    if (index < 0)
        return (int)index;
    if (used(track ? &track->rtp : NULL, (uint64_t)index))
        return -EEXIST;
    struct part part = rtp_part(packet, plain, rtp, index);
    int error = open_guessed(&srtp->rtp, &part, packet + plain);
    if (error == -EBADMSG && (!track || srtp->unproven++ >= LOST))
        error = search(srtp, packet, plain, rtp, &index);
    if (error)
        return error;
    srtp->unproven = srtp->guess = 0;
    use(&keep(srtp, track, rtp->ssrc)->rtp, (uint64_t)index);
    *length = plain;
    return 0;
}

/* There is room for VOS_TRAILER bytes after the packet. A keystream is never used twice: -EEXIST. */
int vos_srtp_seal(struct vos_srtp *srtp, uint8_t *packet, size_t *length, const struct vos_rtp *rtp)
{
    struct track *track = find(srtp, rtp->ssrc);
    int64_t index = index_of(track ? &track->rtp : NULL, rtp->sequence);
    if (index < 0)
        return (int)index;
    if (used(track ? &track->rtp : NULL, (uint64_t)index))
        return -EEXIST;
    struct part part = rtp_part(packet, *length, rtp, index);
    int error = seal_part(&srtp->rtp, &part, false, packet + *length);
    if (error)
        return error;
    use(&keep(srtp, track, rtp->ssrc)->rtp, (uint64_t)index);
    *length += srtp->rtp.tag;
    return 0;
}

static struct part rtcp_part(uint8_t *packet, size_t length, uint32_t word)
{
    struct part part = {.clear = packet, .body = packet + RTCP_HEADER, .clear_len = RTCP_HEADER};
    part.body_len = length - RTCP_HEADER;
    part.ssrc = read32(packet + 4);
    part.index = word & RTCP_LAST;
    write32(part.tail, word);
    return part;
}

/* AES_CM puts the index before the tag (RFC 3711 §3.4), GCM after it (RFC 7714 §9.2). What is not encrypted is
 * refused: UNENCRYPTED_SRTCP is never agreed. */
int vos_srtcp_open(struct vos_srtp *srtp, uint8_t *packet, size_t *length)
{
    const struct session *session = &srtp->rtcp;
    if (*length < RTCP_HEADER + RTCP_INDEX + session->tag)
        return -EBADMSG;
    size_t plain = *length - RTCP_INDEX - session->tag;
    const uint8_t *word = packet + plain + (session->gcm ? session->tag : 0);
    struct part part = rtcp_part(packet, plain, read32(word));
    struct track *track = find(srtp, part.ssrc);
    if (!(read32(word) & ENCRYPTED))
        return -EBADMSG;
    if (used(track ? &track->rtcp : NULL, part.index))
        return -EEXIST;
    int error = open_part(session, &part, true, packet + plain + (session->gcm ? 0 : RTCP_INDEX));
    if (error)
        return error;
    use(&keep(srtp, track, part.ssrc)->rtcp, part.index);
    *length = plain;
    return 0;
}

int vos_srtcp_seal(struct vos_srtp *srtp, uint8_t *packet, size_t *length)
{
    const struct session *session = &srtp->rtcp;
    if (*length < RTCP_HEADER)
        return -EBADMSG;
    struct track *track = find(srtp, read32(packet + 4));
    uint32_t index = track && track->rtcp.begun ? (uint32_t)track->rtcp.top + 1 : 0;
    if (index > RTCP_LAST)
        return -EOVERFLOW; /* the key has had its life (RFC 3711 §9.2) */
    struct part part = rtcp_part(packet, *length, index | ENCRYPTED);
    uint8_t *after = packet + *length;
    int error = seal_part(session, &part, true, after + (session->gcm ? 0 : RTCP_INDEX));
    if (error)
        return error;
    memcpy(after + (session->gcm ? session->tag : 0), part.tail, sizeof part.tail);
    use(&keep(srtp, track, part.ssrc)->rtcp, index);
    *length += RTCP_INDEX + session->tag;
    return 0;
}

/* One packet through a context, for tests and tools; `length` follows it. */
int vos_srtp_packet(struct vos_srtp *srtp, uint8_t *packet, size_t *length, uint32_t seal, uint32_t rtcp)
{
    struct vos_rtp rtp;
    if (rtcp)
        return seal ? vos_srtcp_seal(srtp, packet, length) : vos_srtcp_open(srtp, packet, length);
    int error = vos_rtp_parse(packet, *length, &rtp);
    if (error)
        return error;
    return seal ? vos_srtp_seal(srtp, packet, length, &rtp) : vos_srtp_open(srtp, packet, length, &rtp);
}
