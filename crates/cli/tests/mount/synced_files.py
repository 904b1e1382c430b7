#!/usr/bin/env python3
"""Writes files the way a package manager does: a new name, fsync, rename. synced_files.py DIRECTORY COUNT [THREADS]

Prints each name when its contents are said to be durable.
"""

import os
import sys
import threading


def install(place, number):
    data = (f"file {number}\n" * (number % 500 + 1)).encode()
    name = os.path.join(place, f"f{number}")
    fd = os.open(name + ".dpkg-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    os.rename(name + ".dpkg-new", name)
    fd = os.open(place, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    os.write(1, f"{number} {len(data)}\n".encode())


def main():
    place, count = sys.argv[1], int(sys.argv[2])
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    os.makedirs(place, exist_ok=True)
    jobs = [
        threading.Thread(target=lambda t=t: [install(place, n) for n in range(t, count, threads)])
        for t in range(threads)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()


main()
