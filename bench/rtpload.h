/* SRTP, and a trunk's encryption, for the load generator. */
#ifndef RTPLOAD_H
#define RTPLOAD_H

#include <stddef.h>
#include <stdint.h>

#define SEAL_MAX 10 /* bytes that SRTP adds: the authentication tag of AES_CM_128_HMAC_SHA1_80 */

struct seal;

/* For one SSRC, with a master key and salt of 60 hex digits; exits with a message where that is impossible. */
struct seal *seal_new(const char *key, uint32_t ssrc);

/* Protects the packet in place and returns its new length. */
size_t seal_packet(struct seal *seal, uint8_t *rtp, size_t length);

struct crypt;

/* For a key of the form MODE:KEY, as in docs/wire-format.md; exits with a message where that is impossible. */
struct crypt *crypt_new(const char *text);

/* Encrypts in place the payload of a packet whose header is 12 bytes. */
void crypt_packet(struct crypt *crypt, uint8_t *rtp, size_t length);

#endif
