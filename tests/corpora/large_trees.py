"""Releases that come with label files, a few utterances of each, with the official folders, names and label syntax."""

from pathlib import Path

from release_trees import touch


def write(file: Path, text: str, encoding: str = "utf-8") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))


IMPROVISED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 3.5000, 1.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral; Frustration;\t(polite; a bit tense)
C-E4:\tNeutral;\t()
C-F1:\tAnger;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom;\t(attitude)
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M013\txxx\t[2.0000, 2.5000, 2.5000]
C-E2:\tAnger;\t()
C-E3:\tExcited;\t()
C-E4:\tOther;\t(puzzled)
C-M1:\tAnger;\t()

"""

SCRIPTED = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[1.0000 - 2.0000]\tSes05M_script01_1b_M021\texc\t[4.0000, 4.0000, 3.0000]
C-E1:\tExcited;\t()

[2.0000 - 3.0000]\tSes05M_script01_1b_F000\toth\t[3.0000, 3.0000, 3.0000]
C-E1:\tOther;\t()
C-E2:\tOther;\t()
"""


def iemocap(root: Path) -> Path:
    first, fifth = root / "Session1", root / "Session5"
    write(first / "dialog/EmoEvaluation/Ses01F_impro01.txt", IMPROVISED)
    write(first / "dialog/EmoEvaluation/._Ses01F_impro01.txt", "\0Mac OS X")
    write(
        first / "dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", "Ses01F_impro01_F000 :Neutral state; ()\n"
    )
    write(
        first / "dialog/EmoEvaluation/Attribute/Ses01F_impro01_e3_atr.txt", "Ses01F_impro01_F000 :act 4; :val 3; ()\n"
    )
    write(
        first / "dialog/transcriptions/Ses01F_impro01.txt",
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\nM: [BREATHING]\n"
        "Ses01F_impro01_MXX0 [008.0000-009.0000]: Mm.\nSes01F_impro01_M013 [010.0100-011.3925]: Café\x92s shut.\n",
        "latin-1",
    )
    write(fifth / "dialog/EmoEvaluation/Ses05M_script01_1b.txt", SCRIPTED.replace("\n", "\r\n"))
    return touch(
        root,
        [
            "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
            "Session1/sentences/wav/Ses01F_impro01/._Ses01F_impro01_F000.wav",
            "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M013.wav",
            "Session1/dialog/wav/Ses01F_impro01.wav",
            "Session5/sentences/wav/Ses05M_script01_1b/Ses05M_script01_1b_M021.flac",
        ],
    )


# columns in another order than in release 1.11, which begins FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID
CONSENSUS = """FileName,SpkrID,Gender,EmoClass,EmoVal,EmoAct,EmoDom,Split_Set
MSP-PODCAST_0001_0008.wav,127,Female,N,4.2,2.4,3.6,Train
MSP-PODCAST_0001_0009.wav,Unknown,Unknown,C,2.0,4.0,5.0,Train
MSP-PODCAST_0001_0011.wav,Unknown,Unknown,H,6.0,5.0,5.0,Train
MSP-PODCAST_0153_0174.wav,88,Male,X,4.0,4.5,4.0,Validation
MSP-PODCAST_1023_0235.wav,9,Male,U,5.0,6.0,4.0,Test1
"""

DETAILED = """FileName,EmoDetail
MSP-PODCAST_0001_0008.wav,"WORKER00000001; Neutral; Neutral,Concerned; A:2.000000; V:4.000000; D:4.000000;"
MSP-PODCAST_0001_0008.wav,"WORKER00000002; Neutral; ; A:3.000000; V:4.000000; D:3.000000;"
MSP-PODCAST_0001_0008.wav,"WORKER00000003; Other-Curious; Other-Curious; A:2.000000; V:5.000000; D:4.000000;"
MSP-PODCAST_0153_0174.wav,"WORKER00000001; Angry; Angry,Frustrated; A:5.000000; V:3.000000; D:4.000000;"
MSP-PODCAST_0153_0174.wav,"WORKER00000004; Happy; Happy; A:4.000000; V:5.000000; D:4.000000;"
"""

DETAILED_2 = """FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0008.wav,WORKER00000001,Neutral,"Neutral,Concerned",2,4,4
MSP-PODCAST_0001_0008.wav,WORKER00000002,Contempt,,3,4,3
"""


def msp_podcast(root: Path, folder: str = "Labels", spelling: str = "consensus", detailed: str = DETAILED) -> Path:
    write(root / folder / f"labels_{spelling}.csv", CONSENSUS)
    write(root / folder / "labels_detailed.csv", detailed)
    return touch(
        root,
        [
            "Audios/MSP-PODCAST_0001_0008.wav",
            "Audios/MSP-PODCAST_0001_0009.wav",
            "Audios/MSP-PODCAST_0153_0174.wav",
            "Audios/MSP-PODCAST_1023_0235.wav",
            "Audios/MSP-PODCAST_test3_0001.wav",
            "Audios/MSP-PODCAST_0004_0001.wav",  # taken out of the labels in a later release
        ],
    )


EVALUATION = """UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.800000; V:3.200000; D:2.800000 ; N:3.000000;
2014-05-06_18_40-p5; Neutral; Neutral; A:4.000000; V:3.000000; D:3.000000; N:3.000000;
2014-05-06_18_40-p5; Neutral; Neutral; A:4.000000; V:3.000000; D:3.000000; N:3.000000;
2014-05-07_11_02-p1; Angry; Frustrated,Angry; A:3.000000; V:3.000000; D:2.000000; N:3.000000;
2014-05-07_12_33-p1; Other; Concerned; A:4.000000; V:4.000000; D:3.000000; N:3.000000;

UTD-IMPROV-S08H-M03-S-FM14.avi; X; A:1.500000; V:4.600000; D:NaN ; N:NaN;
2014-05-06_18_40-p5; Happy; Excited; A:1.000000; V:5.000000; D:NaN; N:NaN;
2014-05-07_11_02-p1; Sad; Sad; A:2.000000; V:4.000000; D:NaN; N:NaN;

UTD-IMPROV-S20S-F06-T-FF01.avi; S; A:4.000000; V:1.500000; D:2.000000 ; N:4.000000;
"""


def msp_improv(root: Path, audio: str = "Audio/") -> Path:
    write(root / "Evalution.txt", EVALUATION)
    return touch(
        root,
        [
            f"{audio}session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
            f"{audio}session3/S08H/S/MSP-IMPROV-S08H-M03-S-FM14.wav",
        ],
    )


VOTES = """"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote"
"100001",0,0,0,1,10,0,"1001_IEO_NEU_XX",11,0.909090909090909,"N"
"103210",0,0,1,0,4,3,"1040_ITH_SAD_XX",8,0.5,"N"
"200001",0,0,0,0,9,0,"1001_IEO_NEU_XX",9,1,"N"
"307442",0,6,1,0,0,2,"1091_WSI_DIS_XX",9,0.666666666666667,"D"
"""


def cremad(root: Path) -> Path:
    write(root / "processedResults/tabulatedVotes.csv", VOTES)
    names = ["1001_IEO_NEU_XX", "1040_ITH_SAD_X", "1091_WSI_DIS_XX"]
    return touch(
        root,
        [
            *(f"AudioMP3/{name}.mp3" for name in names),
            *(f"AudioWAV/{name}.wav" for name in names),
            "VideoFlash/1001_IEO_NEU_XX.flv",
            "AudioWAV/1092_IEO_NEU_XX.wav",
            "AudioMP3/1002_IEO_ANG_LO.mp3",
        ],
    )


HEADER = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


def meld(root: Path) -> Path:
    write(
        root / "train/train_sent_emo.csv",
        HEADER + "1,also I was the point person on my company\x92s transition,Chandler,neutral,neutral,0,0,8,21,"
        '"00:16:16,059","00:16:21,731"\n2,"""Hey, Bob.""",Ross,joy,positive,0,3,8,21,"0:0:1,0","0:0:2,0"\n',
    )
    write(root / "dev_sent_emo.csv", HEADER + '1,No!,Rachel,anger,negative,110,7,1,1,"0:0:1,0","0:0:2,0"\n')
    write(root / "test_sent_emo.csv", HEADER + '1,Oh.,Ross,surprise,negative,0,0,1,1,"0:0:1,0","0:0:2,0"\n')
    return touch(
        root,
        [
            "train/train_splits/dia0_utt0.mp4",
            "train/train_splits/dia0_utt0.wav",
            "train/train_splits/dia0_utt3.flac",
            "output_repeated_splits_test/dia0_utt0.mp4",
            "output_repeated_splits_test/dia0_utt0.wav",
            "output_repeated_splits_test/final_videos_testdia0_utt1.wav",
            "output_repeated_splits_test/._dia0_utt0.wav",
        ],
    )


def esd(root: Path, part: str = "") -> Path:
    write(root / "0001/0001.txt", "0001_000001\t打远一看，\t中立\n0001_000351\t打远一看，\t生气\n", "gb2312")
    write(root / "0003/0003.txt", "0003_000701\t打远一看，\t快乐\n", "utf-16")
    write(root / "0011/0011.txt", "0011_001051\tThe nine, the eggs.\tSad\n\n")
    write(root / "0016/0016.txt", "0016_001401\tIt\x92s a café.\tSurprise\n0016_001402 no tabs\n", "latin-1")
    return touch(
        root,
        [
            f"0001/Neutral/{part}0001_000001.wav",
            f"0001/Angry/{part}0001_000351.wav",
            f"0003/Happy/{part}0003_000701.wav",
            f"0011/Sad/{part}0011_001051.wav",
            f"0016/Surprise/{part}0016_001401.wav",
            f"0016/Surprise/{part}0016_001402.wav",
            f"0016/Surprise/{part}0021_001402.wav",
            "0016/Angry.wav",
        ],
    )
