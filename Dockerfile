# The product as one image: `vanishpoint` with everything it needs, for workers and for the orchestrator.
#
#   docker build -t vanishpoint .        docker run --rm vanishpoint --help
#
# There is no HEALTHCHECK here: most commands of this image end by themselves. compose.yaml has the worker's.

FROM docker.io/library/python:3.11-slim-bookworm AS build

# Wheels only, with the hashes of the lock: nothing is compiled and nothing unknown is installed.
COPY requirements/runtime.lock /tmp/runtime.lock
RUN python3 -m venv /opt/vanishpoint \
    && /opt/vanishpoint/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: -r /tmp/runtime.lock \
    && /opt/vanishpoint/bin/python -m pip uninstall -q -y setuptools pip

COPY orchestrator /opt/vanishpoint/src/orchestrator
COPY probes /opt/vanishpoint/src/probes
COPY containers/vanishpoint /opt/vanishpoint/bin/vanishpoint

# Numba's cache knows a source by its time of change, and layers may cut that to whole seconds: do so before compiling.
# Bytecode is told not to look at times at all.
ENV NUMBA_CACHE_DIR=/var/cache/vanishpoint
RUN find /opt/vanishpoint/src -name '*.py' -exec touch -d "@$(date +%s)" {} + \
    && site=$(/opt/vanishpoint/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && echo /opt/vanishpoint/src >"$site/vanishpoint.pth" \
    && /opt/vanishpoint/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        "$site" /opt/vanishpoint/src \
    && /opt/vanishpoint/bin/python -m orchestrator.warmup

FROM docker.io/library/python:3.11-slim-bookworm

# Who reads your SSH keys and owns your runs. Build with your own number where files of the host are mounted.
ARG UID=1000
RUN useradd --uid "$UID" --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin vanishpoint \
    && install -d -o vanishpoint -g vanishpoint -m 0700 /runs

COPY --from=build /opt/vanishpoint /opt/vanishpoint
# Its own, for another processor than the builder's needs other machine code.
COPY --from=build --chown=vanishpoint:vanishpoint /var/cache/vanishpoint /var/cache/vanishpoint

ENV PATH=/opt/vanishpoint/bin:$PATH \
    NUMBA_CACHE_DIR=/var/cache/vanishpoint \
    PYTHONUNBUFFERED=1 \
    VANISHPOINT_RUNS=/runs
# Commands look for ./runs; playbooks and inventories are mounted beside it.
WORKDIR /
USER vanishpoint
ENTRYPOINT ["vanishpoint"]
CMD ["--help"]
