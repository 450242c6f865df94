/**
 * Keys that sign Debian's bookworm archive: the bodies of their OpenPGP public-key packets in base64, by fingerprint.
 * The fingerprints are published at https://ftp-master.debian.org/keys.html.
 */
const KEYS: Readonly<Record<string, string>> = {
  // Debian Stable Release Key (12/bookworm)
  '4D64FEC119C2029067D6E791F8D2585B8783D481':
    'BGPOuVMWCSsGAQQB2kcPAQEHQHe2dLK8LoZQeiShZHH+B1OEkkv8XEX8BEFs63K3+gBK',
  // Debian Archive Automatic Signing Key (12/bookworm), signing subkey
  '4CB50190207B4758A3F73A796ED0E7B82643E131':
    'BGPL0BUBEADlIikS7hDU7PG64tF5vOTdUSBui36HPoe0t7wfobtkDCzKsm8lVyz7DAgo+Ikj6zF7ocM7t8PrN8b0c2dNRw5GDcVMxdNEC06/Beu78mWncrH/YMrWBblSYDEQcURpZHtyMU9C5JwCJT1+A8rOT/ukHTmbZJvR/DhFMxl5JAUBqYm2MzRo+yCCTnDXIuPS+BjP5Ms5wxZ1AfEHxw+6QY/5vGqRhplI78D1DoFbRSUe17n3JSB5CQnqOJfqaaXXkE4PLmdnpViKhDQGdAm4+li/stqFvw4ZZg7hR5IL3/4SpXE7UDBiB9tmTUCo43qiqFU549iRd4EMvMSUPvZ3P2GQ910SAwirTL7NGQccFoKGB2NxPM0YRP8scqrgF/7vAU2iEuDt8ObZdbZeg79rCDY162/BUwHMHuLbqOcbSYEq2JOEnW1CKIdjIJ9vJsOCGrz9BzTN2hUGvxZemP1ZBiyAqK9VE3t/vXb0wB5I8NC2x7qvYHlIrg6kefoWXfkgRkwnYpmX0ywtLF2t3U7xfDYksQd8kP/025YCYeB0t+0ODiDHNlFnmVEU5bx2L9Hw7SClAnOoZdCKd3mhrXl4Dlc61NtAnnBybWNsFIXJBOJcTIX1PYdcBA7BPBgerpgAYVELerhZukshAWmmqaAXm/8choSeWEdfnBUpvtmdgG8AtwARAQAB',
  // Debian Archive Automatic Signing Key (13/trixie), signing subkey
  B8E5F13176D2A7A75220028078DBA3BC47EF2265:
    'BGfpPhUBEACygnWLGoIlLzcdlGoqPilLsgSQb/PN4pw+o3UJMfmWNtHulhVm/bpQr+ut/4POrp19kxaYU0tB5vcPPAz5PpG00kw47c42XO0WAngq+Z8c/X7pDu0prGiTXHnWf0rINHXn403SN7EISGClSiTiU7l8jOhClUy3ZbVNMYFGzVa5VfBSzp8i7QBcAH3YS+FdE1vQQI3vZ13T25s3nghT6AHCmTnSRdHjdEoKY8/FpTTlLc+x3Q3i5qqUYwwj9rOd2FtyZ+pudOIW/CQX0+PGeNTGkVkuDiCA8B4vzZ8nJyMnoQ8AeDLsb9PVkzPCL9NwtB0Wrat5mcAq00oQGD3J8OKNtRHux76fIA/M1VemjxKbC79knGfCYaOtyNC7NasjcKnOJLuy5DlNnnXkXpmQCO6f2mWetsq7qUAZaW02u7sQ4QLs+zK+cwz5Fcni5Lo0FRfsWdIVGYJjtxZZY0Lh7qRzYESv/KIhxnq8Iim+/rtWfHrPcq9hjykFQ3vtZKFfIhhDJMg6cNh+ev+JrHb+2RcEnogtYxyHmh9Eb0iSvYN7Uxi8hc/wdmn6+l/J/vSrjXrNz8f9mUt48MjLpkssMPVHfM2mPaLoqBINP7zS3uVLZ5maYUaRJDTkg72es9DFg9t3DxVSCwsPTet8MDRPDEFV7q2cDXTqHoV0JzrbFcWBQwARAQAB',
};

export const ARCHIVE_KEYS: readonly Uint8Array[] = Object.values(KEYS).map((key) =>
  Buffer.from(key, 'base64'),
);
export const ARCHIVE_FINGERPRINTS: readonly string[] = Object.keys(KEYS);
