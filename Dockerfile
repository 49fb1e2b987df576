# Two stages: the second holds no compiler, no pip cache and no build tool.
FROM python:3.12-slim AS build

WORKDIR /src
RUN python -m venv --without-pip /app
COPY requirements/build.txt requirements/run.txt requirements/
# Bytecode is compiled here: a read-only container could not keep it and would compile at each start.
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && pip --python /app install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY config config
COPY mdingest mdingest
COPY requirements/node.txt requirements/
COPY tools/fetch_chart.py tools/
# The libraries' own tests are a quarter of what they install.
RUN python tools/fetch_chart.py --optional \
    && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /app install --no-cache-dir --no-deps /wheels/*.whl \
    && find /app -type d -name tests -prune -exec rm -r {} +


FROM python:3.12-slim

ENV PATH="/app/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MDINGEST_CONFIG=/config/docker.yaml
COPY --from=build /app /app
COPY config /config
# A new named volume takes the owner of the folder it covers.
RUN install --directory --owner=10001 --group=10001 /data

# Paths in a configuration are relative to here: data/ is the volume, config/ the mounted folder.
WORKDIR /
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Not urllib, which would ask a proxy named in the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["mdingest"]
CMD ["run"]
